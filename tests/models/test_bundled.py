"""The bundled model as our own code reads it, against the library that defines its format."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import bundled
from models.base import TextKind, UnsupportedModelError
from models.bert import BertEncoder
from models.bundled import BundledModel
from models.library_folder import LibraryFolder
from models.loading import BUNDLED_MODEL, find_model, fingerprint
from models.padding import pad
from models.sentence import PackedForward, transformer_of
from models.source import open_source

TEXTS = ["", "?", "How do I rotate the keys?", "CASE, Ünïcode, 世界 \N{ROCKET} and \x00", "words and more words " * 200]
# Of what only serves other models, compiles or draws; each takes a good part of a second to import.
UNNEEDED = ("transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "sympy", "torch._dynamo")


@pytest.fixture(scope="module")
def folder() -> Path:
    return find_model(BUNDLED_MODEL)


@pytest.fixture(scope="module")
def ours(folder: Path) -> BundledModel:
    return BundledModel(folder, "cpu")


@pytest.fixture(scope="module")
def librarys(folder: Path) -> LibraryFolder:
    return LibraryFolder(folder, "cpu")


def sentences(model: nn.Sequential, ids: list[list[int]]) -> torch.Tensor:
    arrays = map(torch.from_numpy, pad(ids, 0))
    with torch.inference_mode():
        features = model(dict(zip(("input_ids", "attention_mask"), arrays, strict=True)))
    vectors: torch.Tensor = features["sentence_embedding"]
    return vectors


def test_it_declares_what_the_library_reads(ours: BundledModel, librarys: LibraryFolder) -> None:
    mine, theirs = ours.manifest, librarys.manifest
    for name in ("max_tokens", "prompts", "dimension", "matryoshka", "rectangle"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.prompts == dict.fromkeys(TextKind, "")


@given(st.one_of(st.text(max_size=60), st.sampled_from(TEXTS)))
@settings(max_examples=200, deadline=None)
def test_it_tokenizes_as_the_library_does(ours: BundledModel, librarys: LibraryFolder, text: str) -> None:
    mine, theirs = ours.manifest.tokenizer, librarys.manifest.tokenizer
    assert mine.encode([text]) == theirs.encode([text])
    assert mine.count(text) == theirs.count(text)


def test_its_vectors_are_the_librarys(ours: BundledModel, librarys: LibraryFolder) -> None:
    ids = ours.manifest.tokenizer.encode(TEXTS)
    torch.testing.assert_close(sentences(ours.reference, ids), sentences(librarys.reference, ids), atol=1e-6, rtol=0)


def test_it_takes_every_weight_as_the_library_does(ours: BundledModel, librarys: LibraryFolder) -> None:
    theirs = transformer_of(librarys.load(torch.bfloat16)).state_dict()
    mine = transformer_of(ours.load(torch.bfloat16)).state_dict()
    assert {name for name in theirs if not name.startswith("pooler.")} == set(mine)
    for name, weight in mine.items():
        torch.testing.assert_close(weight, theirs[name], atol=0, rtol=0)


def test_it_runs_in_every_form(ours: BundledModel) -> None:
    assert BertEncoder.supports(transformer_of(ours.reference))
    assert PackedForward.supports(list(ours.reference)[1:])


def test_a_changed_file_makes_it_any_other_folder(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert fingerprint(copy) == bundled.FINGERPRINT
    assert isinstance(open_source(copy, fingerprint(copy), "cpu"), BundledModel)
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    changed = open_source(copy, fingerprint(copy), "cpu")
    assert isinstance(changed, LibraryFolder)
    assert changed.manifest.max_tokens == 128


def test_a_file_that_is_cut_short_meanwhile_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UnsupportedModelError, match=r"model\.safetensors is cut short or corrupt"):
        BundledModel(copy, "cpu")


def test_serving_it_imports_nothing_that_only_other_models_need() -> None:
    code = (
        "import sys, service.app, service.cli.serve; from models.transformer import TransformerEmbedder; "
        f"TransformerEmbedder.load({BUNDLED_MODEL!r}, dtype='float32'); print(*sys.modules)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "models.bundled" in loaded
    assert not loaded & set(UNNEEDED)
