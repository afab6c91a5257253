"""What is in a bundle."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.bundle.errors import BundleError


def test_what_is_brought_along(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    model = tmp_path / "bge"
    model.mkdir()
    (tmp_path / "blob").write_text("weights")
    (model / "model.safetensors").symlink_to(tmp_path / "blob")  # as in the hub's cache
    folder = small_bundle(models=(model,))
    weights = folder / "models" / "bge" / "model.safetensors"
    assert weights.read_text() == "weights"
    assert not weights.is_symlink()
    assert {path.name for path in folder.iterdir()} == {
        *("environments", "wheels", "models", "docs", "deploy"),
        *("install.sh", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "SHA256SUMS"),
    }
    assert {path.name for path in (folder / "environments" / "quarry").iterdir()} == {
        *("requirements.txt", "needs.env", "sbom.cdx.json", "THIRD_PARTY_LICENSES.txt")
    }
    assert (folder / "install.sh").stat().st_mode & stat.S_IXUSR
    assert "quarry-1.tar.sha256" in (folder / "README.md").read_text()
    assert "$" not in (folder / "README.md").read_text().replace("$ ", "")
    assert (folder / "deploy" / "prometheus" / "rules.yaml").exists()
    assert not list((folder / "deploy").rglob("*.py"))


def test_two_models_of_one_name_are_refused(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    models = tmp_path / "a" / "m", tmp_path / "b" / "m"
    for model in models:
        model.mkdir(parents=True)
    with pytest.raises(BundleError, match="two models are called 'm'"):
        small_bundle(models=models)


def test_a_model_that_is_not_there_is_named(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        small_bundle(models=(tmp_path / "nowhere",))
