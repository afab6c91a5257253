import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.base import ModelNotFoundError, UnsafeModelError, UnsupportedModelError
from models.loading import BUNDLED_MODEL, find_model, fingerprint
from models.transformer import TransformerEmbedder


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_the_bundled_model_is_found_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a bundled model needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = find_model(BUNDLED_MODEL)
    assert (found / "modules.json").is_file()
    assert (found / "model.safetensors").is_file()


def test_a_folder_is_taken_as_it_is(folder: Path) -> None:
    assert find_model(str(folder)) == folder


def test_a_folder_below_the_home_directory_may_be_named_with_a_tilde(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find_model("~/model") == folder


@pytest.mark.parametrize(
    "name", ["nobody/no-such-model", "no-such-model", "/no/such/folder", "not a name!", "~no-one/x"]
)
def test_an_unknown_name_is_a_typed_error_that_names_it(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as error:
        find_model(name)
    assert name in str(error.value)


def test_a_folder_without_modules_json_is_refused(folder: Path) -> None:
    (folder / "modules.json").unlink()
    with pytest.raises(UnsupportedModelError, match=r"no modules\.json") as error:
        find_model(str(folder))
    assert str(folder) in str(error.value)


def test_pickled_weights_alone_are_refused_unread(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match=r"pytorch_model\.bin but no \.safetensors") as error:
        TransformerEmbedder.load(str(folder))
    assert str(folder) in str(error.value)


def test_pickled_weights_beside_safetensors_do_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    vectors = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").embed([[2, 4, 3]])
    assert vectors.shape == (1, 32)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModelError, match=r"no \.safetensors weights") as error:
        find_model(str(folder))
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("kept", [0, 4, 100, 20_000])
def test_truncated_weights_are_a_typed_error_that_names_the_file(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(UnsupportedModelError, match=r"model\.safetensors is cut short or corrupt") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_corrupt_weights_are_a_typed_error_that_names_the_file(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[8:40] = b"\xff" * 32
    weights.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=r"model\.safetensors is cut short or corrupt"):
        TransformerEmbedder.load(str(folder), device="cpu")


JSON_FILES = ["config.json", "modules.json", "tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json"]


@pytest.mark.parametrize("file", JSON_FILES)
@pytest.mark.parametrize("text", ["{ not json", "", '{"vocab_size": 1'])
def test_a_configuration_that_is_not_json_is_a_typed_error_that_names_it(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(UnsupportedModelError, match="is not JSON") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert f"{folder} cannot be loaded: {file}" in str(error.value)


@pytest.mark.parametrize("file", JSON_FILES)
@pytest.mark.parametrize("text", ["[1]", '"text"', "7"])
def test_a_configuration_of_another_kind_is_a_typed_error(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(UnsupportedModelError) as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "1_Pooling/config.json", "1_Pooling"])
def test_a_missing_file_is_a_typed_error_that_names_it(folder: Path, file: str) -> None:
    path = folder / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UnsupportedModelError, match=f"{file} is missing") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_a_missing_tokenizer_is_a_typed_error(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedModelError, match="has no tokenizer") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_a_missing_shard_is_a_typed_error_that_names_it(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    weight_map = dict.fromkeys(names, "model-00001-of-00002.safetensors")
    weight_map["embeddings.LayerNorm.weight"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with pytest.raises(UnsupportedModelError, match=r"model-00002-of-00002\.safetensors is missing"):
        TransformerEmbedder.load(str(folder), device="cpu")


QUERY = "encoder.layer.1.attention.self.query.weight"


def test_weights_that_lack_a_parameter_are_refused_by_its_name(folder: Path) -> None:
    """The library would fill it at random and only warn."""
    weights = load_file(folder / "model.safetensors")
    del weights[QUERY]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=f"lack {QUERY}"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_weights_that_every_layer_lacks_are_refused(folder: Path) -> None:
    """The library reports them as one, "encoder.layer.{0, 1}.attention"."""
    weights = load_file(folder / "model.safetensors")
    del weights[QUERY], weights[QUERY.replace("1", "0")]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=r"lack encoder\.layer\.\{0, 1\}"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_missing_weights_are_refused_on_a_terminal_where_the_report_is_coloured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.loading_report._style", lambda text, _: f"\x1b[31m{text}\x1b[0m")
    weights = load_file(folder / "model.safetensors")
    del weights[QUERY]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=f"lack {QUERY}"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_a_pooler_that_no_vector_goes_through_may_be_missing(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    pooler = [name for name in weights if name.startswith("pooler.")]
    assert pooler
    save_file(
        {name: weights[name] for name in weights if name not in pooler}, folder / "model.safetensors", {"format": "pt"}
    )
    assert TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info.dimension == 32


def test_weights_of_another_shape_are_a_typed_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[QUERY] = weights[QUERY][:16].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match="cannot be loaded") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_weights_that_are_not_numbers_are_a_typed_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[QUERY] = torch.full_like(weights[QUERY], torch.nan)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match="are not numbers"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_a_model_that_needs_code_of_its_own_is_refused_and_the_code_not_run(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit('was run')")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "modeling_own.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsafeModelError, match=r"cannot be loaded: its modules.json asks for 'modeling_own.Pooling'"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"beyond{i}": i for i in range(len(vocabulary), 65)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UnsupportedModelError, match="embeddings for 64 tokens and a tokenizer of 65"):
        TransformerEmbedder.load(str(folder), device="cpu")


def test_equal_folders_have_equal_fingerprints_wherever_they_are(folder: Path, tiny_model: Path) -> None:
    assert fingerprint(folder) == fingerprint(tiny_model)
    assert len(fingerprint(folder)) == 64


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"])
def test_the_fingerprint_covers_every_file_that_decides_the_vectors(folder: Path, file: str) -> None:
    before = fingerprint(folder)
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    assert fingerprint(folder) != before


def test_a_readme_does_not_change_the_fingerprint(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "README.md").write_text("other words")
    assert fingerprint(folder) == before
