"""Wheels are fetched as they are pinned."""

import hashlib
import sys
from pathlib import Path

import pytest

from deploy.bundle.errors import BundleError
from deploy.bundle.fetching import fetched
from deploy.bundle.profile import Source
from tiny_wheels import tiny_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds."""
    folder = tmp_path / "offered"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tiny_wheel(
        tmp_path / "own",
        "quarry",
        ["Requires-Dist: torch; extra == 'cpu'", "Provides-Extra: cpu", "Requires-Dist: dep"],
    )


def locked(tmp_path: Path, *wheels: Path, name: str = "a.lock") -> str:
    """Path of a lock of version 1.0 of each, by what it is now."""
    lines = [
        f"{wheel.name.partition('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
        for wheel in wheels
    ]
    (tmp_path / name).write_text("".join(lines))
    return str(tmp_path / name)


def test_a_lock_is_for_its_own_python_whichever_runs_this(offered: Path, own: Path, tmp_path: Path) -> None:
    newer = tiny_wheel(offered, "dep", tag="cp312-cp312-manylinux_2_28_x86_64")
    older = tiny_wheel(offered, "old", tag="cp312-abi3-manylinux2014_x86_64")
    tiny_wheel(offered, "dep", tag="cp311-cp311-linux_x86_64")
    source = Source("quarry", "3.12", "quarry[cpu]", locked(tmp_path, newer, older))
    environment = fetched(source, own, tmp_path / "here", None)
    assert [wheel.path.name for wheel in environment.wheels] == [newer.name, older.name, own.name]
    assert environment.python == "3.12"


def test_a_wheel_that_is_not_the_locked_one_is_refused(offered: Path, own: Path, tmp_path: Path) -> None:
    lock = locked(tmp_path, tiny_wheel(offered, "dep"))
    tiny_wheel(offered, "dep", files={"dep.py": "another = True\n"})
    with pytest.raises(BundleError, match="DO NOT MATCH THE HASHES"):
        fetched(Source("quarry", "3.12", "quarry", lock), own, tmp_path / "here", None)


def test_a_lock_without_hashes_is_none(offered: Path, own: Path, tmp_path: Path) -> None:
    tiny_wheel(offered, "dep")
    (tmp_path / "a.lock").write_text("dep==1.0\n")
    with pytest.raises(BundleError, match="Hashes are required"):
        fetched(Source("quarry", "3.12", "quarry", str(tmp_path / "a.lock")), own, tmp_path / "here", None)


def test_only_the_environment_of_that_name_has_quarry(offered: Path, own: Path, tmp_path: Path) -> None:
    lock = locked(tmp_path, tiny_wheel(offered, "vllm"))
    environment = fetched(Source("vllm", "3.12", "vllm", lock), own, tmp_path / "here", None)
    assert [wheel.name for wheel in environment.wheels] == ["vllm"]


def test_pinned_versions_are_taken_with_what_they_ask_for(offered: Path, own: Path, tmp_path: Path) -> None:
    for name in ("torch", "dep", "other"):
        tiny_wheel(offered, name)
    (tmp_path / "cpu.txt").write_text("torch==1.0\ndep==1.0\nother==1.0\n")
    source = Source("quarry", RUNNING, "quarry[cpu]", str(tmp_path / "cpu.txt"))
    environment = fetched(source, own, tmp_path / "here", None)
    assert [wheel.name for wheel in environment.wheels] == ["dep", "quarry", "torch"]
    (tmp_path / "cpu.txt").write_text("torch==2.0\n")
    with pytest.raises(BundleError, match="torch"):
        fetched(source, own, tmp_path / "there", None)
