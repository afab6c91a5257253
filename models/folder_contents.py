"""What a model's folder holds, looked at before any library reads it: nothing that is run, and nothing without end."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from models.base import UnsafeModelError, UnsupportedModelError
from models.safetensors_header import check_header

PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz")
# The largest vocabularies, of a quarter of a million tokens with their merges, take some 35 MB.
_MAX_BYTES = {"tokenizer.json": 128 << 20, "vocab.json": 64 << 20, "vocab.txt": 64 << 20, "merges.txt": 64 << 20}
_MAX_TEXT_BYTES = 16 << 20
_READ = ("*.json", "*.txt", "*.model")
_INDEX = "*.safetensors.index*.json"
_MODULE = re.compile(r"sentence_transformers(\.\w+)*\.(Transformer|Pooling|Normalize|Dense|LayerNorm|Dropout)")
_ACTIVATION = re.compile(r"torch\.nn\.modules\.(activation|linear)\.\w+")


def check_contents(folder: Path) -> None:
    """Everything below ``folder`` that is going to be read.

    Links to files are followed, as the hub's cache is made of them: what they lead to is held to the same.

    Raises:
        UnsafeModelError: weights are pickled, or the folder names code to be run, or files elsewhere, or a folder in it
            is a link.
        UnsupportedModelError: a file is none, has no end, or is not what its name says.
    """
    _check_folders(folder)
    for pattern in _READ:
        for path in folder.rglob(pattern):
            _check_size(path)
    for path in folder.rglob("*.safetensors"):
        check_header(folder, path)
    for module in _modules(folder):
        _check_module(folder, module)
    for index in folder.rglob(_INDEX):
        _check_shards(folder, index)


def pickled(folder: Path) -> list[str]:
    """Names of files right in ``folder`` that a library would unpickle, by suffix or by their first bytes."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and _is_pickled(path))


def _is_pickled(path: Path) -> bool:
    """PyTorch's files are ZIP archives of pickles, older ones pickles of protocol 2 to 5."""
    if path.suffix in PICKLED_SUFFIXES:
        return True
    with path.open("rb") as file:
        magic = file.read(4)
    return magic == b"PK\x03\x04" or (magic[:1] == b"\x80" and magic[1:2] in b"\x02\x03\x04\x05" and len(magic) > 1)


def _check_folders(folder: Path) -> None:
    """A folder that is a link is not walked into, here and by ``fingerprint``, but libraries would read from it."""
    linked = next((path for path in folder.rglob("*") if path.is_symlink() and path.is_dir()), None)
    if linked is not None:
        raise UnsafeModelError(
            f"{folder} cannot be loaded: its folder {linked.relative_to(folder)} is a link; copy what it leads to"
        )


def _check_size(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise UnsupportedModelError(f"{path} leads nowhere: {error}") from error
    most = _MAX_BYTES.get(path.name, _MAX_TEXT_BYTES)
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise UnsupportedModelError(f"{path} is no plain file")
    if path.suffix != ".model" and found.st_size > most:
        raise UnsupportedModelError(f"{path} has {found.st_size} bytes; the limit is {most}")


def _modules(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "modules.json"
    modules = _parsed(folder, path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise UnsupportedModelError(f"{folder} cannot be loaded: modules.json is not a list of modules")
    yield from modules


def _check_module(folder: Path, module: dict[str, Any]) -> None:
    type_ = module.get("type")
    if not isinstance(type_, str) or not _MODULE.fullmatch(type_):
        raise UnsafeModelError(f"{folder} cannot be loaded: its modules.json asks for {str(type_)[:200]!r}")
    below = folder / _inside(folder, module.get("path", ""), "modules.json")
    if not below.is_dir():
        return  # loading says what is missing
    weights = pickled(below)
    if weights and not any(below.glob("*.safetensors")):
        raise UnsafeModelError(f"{below} holds {', '.join(weights)} but no .safetensors: convert the weights first")
    config = below / "config.json"
    named = _parsed(folder, config) if config.is_file() else {}
    activation = named.get("activation_function") if isinstance(named, dict) and type_.endswith("Dense") else None
    if activation is not None and not _ACTIVATION.fullmatch(str(activation)):
        raise UnsafeModelError(f"{config} asks for the activation {str(activation)[:200]!r}: it would be called")


def _check_shards(folder: Path, index: Path) -> None:
    weights = _parsed(folder, index)
    files = weights.get("weight_map", {}) if isinstance(weights, dict) else {}
    where = str(index.relative_to(folder))
    for shard in set(map(str, files.values())) if isinstance(files, dict) else ():
        _inside(folder, shard, where)
        if not shard.endswith(".safetensors"):
            raise UnsafeModelError(f"{folder} cannot be loaded: its {where} names {shard[:200]!r}, no .safetensors")


def _inside(folder: Path, named: object, where: str) -> str:
    path = PurePosixPath(str(named))
    if path.is_absolute() or ".." in path.parts or "\0" in str(named):
        raise UnsafeModelError(f"{folder} cannot be loaded: its {where} leads out of it, to {str(named)[:200]!r}")
    return str(named)


def _parsed(folder: Path, path: Path) -> Any:  # noqa: ANN401  what JSON holds
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        said = f"{path.relative_to(folder)} is not JSON: {error}"
        raise UnsupportedModelError(f"{folder} cannot be loaded: {said}") from error
