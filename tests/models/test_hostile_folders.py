"""Model folders that somebody else made: what would be run or has no end is refused before any library reads it."""

import contextlib
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import sentence_transformers
import torch
import transformers

from models.base import ModelError, UnsafeModelError, UnsupportedModelError
from models.folder_contents import check_contents
from models.loading import find_model
from models.safetensors_header import MAX_HEADER_BYTES
from models.transformer import TransformerEmbedder

TENSOR = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the folder may reach those who parse it."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("a library was given the folder")

    monkeypatch.setattr(sentence_transformers.SentenceTransformer, "__init__", never)
    monkeypatch.setattr(safetensors.torch, "load_file", never)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", never)
    monkeypatch.setattr(torch, "load", never)


def refused(folder: Path, kind: type[ModelError], said: str) -> None:
    with pytest.raises(kind, match=said):
        TransformerEmbedder.load(str(folder), device="cpu")


def safetensors_of(header: object, data: int = 16, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


HEADERS: dict[str, bytes] = {
    "no length": b"\x01",
    "longer than the file": safetensors_of({"a": TENSOR}, length=10_000),
    "a length that overflows": safetensors_of({"a": TENSOR}, length=2**64 - 1),
    "longer than the limit": struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * 64,
    "no JSON": safetensors_of(b"{'a': 1}"),
    "a list": safetensors_of([TENSOR]),
    "without a bottom": safetensors_of(b"[" * 100_000),
    "outside of the file": safetensors_of({"a": TENSOR | {"data_offsets": [16, 32]}}),
    "the wrong way round": safetensors_of({"a": TENSOR | {"data_offsets": [16, 0]}}),
    "below zero": safetensors_of({"a": TENSOR | {"data_offsets": [-16, 0]}}),
    "overlapping": safetensors_of({"a": TENSOR, "b": TENSOR | {"data_offsets": [8, 24]}}, data=24),
    "no type of number": safetensors_of({"a": TENSOR | {"dtype": "OBJECT"}}),
    "a type that is none": safetensors_of({"a": TENSOR | {"dtype": ["F32"]}}),
    "another shape": safetensors_of({"a": TENSOR | {"shape": [2, 3]}}),
    "a shape that overflows": safetensors_of({"a": TENSOR | {"shape": [2**33, 2**31]}}),
    "a shape below zero": safetensors_of({"a": TENSOR | {"shape": [-2, -2]}}),
    "a shape of words": safetensors_of({"a": TENSOR | {"shape": ["2", "2"]}}),
    "more dimensions than any tensor has": safetensors_of({"a": TENSOR | {"shape": [1] * 15 + [2, 2]}}),
    "a dimension that no file has": safetensors_of({"a": TENSOR | {"shape": [2**64, 0], "data_offsets": [0, 0]}}),
    "a shape that is none": safetensors_of({"a": TENSOR | {"shape": {"2": 2}}}),
    "no shape": safetensors_of({"a": {"dtype": "F32", "data_offsets": [0, 16]}}),
    "no entry": safetensors_of({"a": None}),
    "a pickle": pickle.dumps({"a": [1] * 100}),
    "a ZIP archive": b"PK\x03\x04" + bytes(1000),
}


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("what", HEADERS)
def test_a_safetensors_header_that_does_not_hold_is_refused(folder: Path, what: str) -> None:
    (folder / "model.safetensors").write_bytes(HEADERS[what])
    refused(folder, UnsupportedModelError, r"model\.safetensors is cut short or corrupt")


def test_mutated_weights_are_refused_or_load(folder: Path) -> None:
    """Seeded, in the header, where everything that is believed lies: a typed error, or a library's reader agrees."""
    good = (folder / "model.safetensors").read_bytes()
    header = 8 + struct.unpack("<Q", good[:8])[0]
    loaded = 0
    for seed in range(300):
        rng, data = random.Random(seed), bytearray(good)  # noqa: S311
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(header)] = rng.choice(b'0123456789[]{}",:\x00\xff')
        (folder / "model.safetensors").write_bytes(data)
        try:
            check_contents(folder)
        except UnsupportedModelError:
            continue
        safetensors.torch.load(bytes(data))
        loaded += 1
    assert 0 < loaded < 300


MODULES = [
    "os.system", "builtins.eval", "modeling_own.Pooling", "sentence_transformers.util.import_from_string",
    "sentence_transformers.models.WordEmbeddings", "sentence_transformers_evil.models.Pooling", "../x.Pooling",
    "sentence_transformers.models.Pooling\n", "", None, 7, ["sentence_transformers.models.Pooling"],
]  # fmt: skip


def changed(path: Path, change: Callable[[Any], object]) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("type_", MODULES, ids=str)
def test_modules_of_other_types_are_refused_by_name(folder: Path, type_: object) -> None:
    changed(folder / "modules.json", lambda modules: modules[1].update(type=type_))
    refused(folder, UnsafeModelError, r"modules\.json asks for")


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("path", ["../outside", "/etc", "1_Pooling/../../outside", "a\0b"])
def test_modules_elsewhere_are_refused(folder: Path, path: str) -> None:
    changed(folder / "modules.json", lambda modules: modules[1].update(path=path))
    refused(folder, UnsafeModelError, r"modules\.json leads out of it")


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("where", ["", "0_Transformer", "1_Pooling/deeper"])
@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd"])
def test_shards_elsewhere_are_refused(folder: Path, shard: str, where: str) -> None:
    (folder / where).mkdir(exist_ok=True)
    (folder / where / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    refused(folder, UnsafeModelError, "leads out of it")


@pytest.mark.usefixtures("no_library")
def test_a_shard_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "weights.bin"}}))
    refused(folder, UnsafeModelError, r"no \.safetensors")


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("what", ["1_Pooling", "1_Pooling/deeper"])
def test_a_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path, what: str) -> None:
    """Nothing in it would be looked at."""
    outside = tmp_path / "outside"
    outside.mkdir()
    if (folder / what).exists():
        shutil.copytree(folder / what, outside, dirs_exist_ok=True)
        shutil.rmtree(folder / what)
    (folder / what).symlink_to(outside)
    (outside / "model.safetensors").write_bytes(HEADERS["a length that overflows"])
    refused(folder, UnsafeModelError, f"its folder {what} is a link")


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert find_model(str(tmp_path / "current")) == tmp_path / "current"


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "weights", "archive.dat"])
def test_a_module_with_pickled_weights_of_its_own_is_refused(folder: Path, name: str) -> None:
    """The folder as a whole has safetensors; a library would unpickle those of this module."""
    dense = folder / "2_Dense"
    dense.mkdir()
    (dense / "config.json").write_text("{}")
    (dense / name).write_bytes(b"PK\x03\x04 archive" if name.endswith("dat") else pickle.dumps({"weight": 1}))
    module = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    changed(folder / "modules.json", lambda modules: modules.append(module))
    refused(folder, UnsafeModelError, rf"holds {name} but no \.safetensors")


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("activation", ["os.abort", "torch.hub.load", "torch.nn.modules.module.Module", 7])
def test_an_activation_that_would_be_called_is_refused(folder: Path, activation: object) -> None:
    dense = folder / "2_Dense"
    dense.mkdir()
    (dense / "config.json").write_text(json.dumps({"activation_function": activation}))
    module = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    changed(folder / "modules.json", lambda modules: modules.append(module))
    refused(folder, UnsafeModelError, "it would be called")


def test_code_that_a_configuration_names_is_not_run(folder: Path) -> None:
    """Whether the model is refused or its own class is known here."""
    (folder / "modeling_own.py").write_text(f"open({str(folder / 'was_run')!r}, 'w')")
    named = {name: "modeling_own.Own" for name in ("AutoConfig", "AutoModel", "AutoTokenizer")}
    for file in ("config.json", "tokenizer_config.json"):
        changed(folder / file, lambda config: config.update(auto_map=named))
    with contextlib.suppress(ModelError):
        TransformerEmbedder.load(str(folder), device="cpu")
    assert not (folder / "was_run").exists()


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"])
def test_a_file_without_end_is_refused_unread(folder: Path, file: str) -> None:
    os.truncate(folder / file, 1 << 40)
    refused(folder, UnsupportedModelError, "the limit is")


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize("kind", ["pipe", "device", "dangling"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "model.safetensors"])
def test_what_is_no_file_is_refused_unread(folder: Path, file: str, kind: str) -> None:
    (folder / file).unlink()
    if kind == "pipe":
        os.mkfifo(folder / file)
    else:
        (folder / file).symlink_to("/dev/zero" if kind == "device" else folder / "nowhere")
    refused(folder, UnsupportedModelError, "no plain file|leads nowhere|cut short or corrupt")


@pytest.mark.usefixtures("no_library")
def test_a_configuration_without_a_bottom_is_a_typed_error(folder: Path) -> None:
    (folder / "modules.json").write_bytes(b"[" * 200_000)
    refused(folder, UnsupportedModelError, r"modules\.json is not JSON")


def test_links_to_files_are_followed_as_the_hubs_cache_is_made_of_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (folder / name).replace(tmp_path / "blobs" / name)
        (folder / name).symlink_to(tmp_path / "blobs" / name)
    assert find_model(str(folder)) == folder
    loaded = TransformerEmbedder.load(str(folder), device="cpu")
    assert np.isfinite(loaded.embed(loaded.tokenize(["bees"], next(iter(loaded.info.prompts))))).all()
