import shutil
import socket
from pathlib import Path

import pytest

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
def test_truncated_weights_are_a_typed_error(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(UnsupportedModelError, match="cannot be loaded") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "modules.json", "tokenizer.json", "1_Pooling/config.json"])
def test_a_broken_configuration_is_a_typed_error(folder: Path, file: str) -> None:
    (folder / file).write_text("{ not json")
    with pytest.raises(UnsupportedModelError, match="cannot be loaded") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


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
