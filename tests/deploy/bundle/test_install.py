"""install.sh, on a small bundle."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.bundle.folder import sign_off
from tiny_wheels import tiny_wheel

PATIENCE_S = 300


def install(folder: Path, prefix: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "install.sh"), str(prefix), *more]
    environment = os.environ | {"PYTHON": sys.executable} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def said(folder: Path, prefix: Path, *more: str, **variables: str) -> str:
    """Why it installs nothing."""
    done = install(folder, prefix, *more, **variables)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not prefix.exists()
    assert "install.sh: " in done.stderr
    return done.stderr


def stand_in(folder: Path, name: str, says: str) -> str:
    """A PATH on which a program says something else."""
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{says}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_it_installs_what_is_there_whatever_pip_is_told_elsewhere(
    small_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    folder, prefix = small_bundle(), tmp_path / "below" / "opt quarry"
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nno-binary = :all:\n[install]\nuser = yes\n")
    hostile = {
        "PIP_CONFIG_FILE": str(config),
        "PIP_NO_BINARY": ":all:",
        "PIP_PREFIX": "/nowhere",
        "PYTHONPATH": "/nowhere",
    }
    done = install(folder, prefix, **hostile)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{prefix}/bin/quarry is installed\n"
    steps = ["comparing every file", "making a virtual environment", "installing 2 wheels"]
    assert [line.startswith(step) for step, line in zip(steps, done.stderr.splitlines(), strict=True)] == [True] * 3
    assert subprocess.check_output([prefix / "bin" / "quarry"], text=True) == "It answers.\n"
    assert {path.name for path in (prefix / "share" / "doc" / "quarry").iterdir()} == {
        *("sbom.cdx.json", "THIRD_PARTY_LICENSES.txt", "LICENSE", "NOTICE")
    }
    again = install(folder, prefix)
    assert again.returncode == 1
    assert f"{prefix} is there already" in again.stderr
    assert (prefix / "bin" / "quarry").exists()


def test_a_changed_byte_is_named(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = small_bundle()
    names = [
        str(path.relative_to(folder)) for kind in ("wheels", "environments") for path in (folder / kind).rglob("*.*")
    ]
    assert len(names) >= 6
    for name in [*names, "docs/api.md", "README.md"]:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert f"this bundle is damaged:\n{name}: FAILED" in said(folder, tmp_path / "prefix")
        (folder / name).write_bytes(whole)


def test_a_damaged_list_of_checksums_is_no_list(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = small_bundle()
    sums = folder / "SHA256SUMS"
    whole = sums.read_text()
    for damaged in (whole.replace("  docs/", " docs/", 1), "x" + whole, ""):
        sums.write_text(damaged)
        assert "this bundle is damaged:" in said(folder, tmp_path / "prefix")


def test_a_file_that_is_missing_is_named(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = small_bundle()
    (folder / "wheels" / "dep-1.0-py3-none-any.whl").unlink()
    assert "wheels/dep-1.0-py3-none-any.whl: FAILED open or read" in said(folder, tmp_path / "prefix")


def test_a_wheel_that_the_requirements_do_not_name_is_not_installed(
    small_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    folder = small_bundle()
    (folder / "wheels" / "dep-1.0-py3-none-any.whl").unlink()
    tiny_wheel(folder / "wheels", "dep", [], {"dep.py": "another = True\n"})
    sign_off(folder)
    text = said(folder, tmp_path / "prefix")
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in text
    assert text.endswith("install.sh: pip did not install quarry\n")


def test_another_python_is_refused(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = small_bundle(needs_python="3.9")
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = said(folder, tmp_path / "prefix")
    assert f"for CPython 3.9, and {sys.executable} is {running}" in text
    assert "PYTHON=/path/to/python3.9" in text
    assert "is no Python" in said(folder, tmp_path / "prefix", PYTHON="/nowhere/python3.9")


@pytest.mark.parametrize(
    ("program", "says", "refused"),
    [
        ("uname", 'test "$1" = -m && echo aarch64 || echo Linux', "this is Linux aarch64"),
        ("getconf", 'echo "glibc 2.5"', "needs glibc 2.17, and here is glibc 2.5"),
        ("getconf", "exit 1", "needs glibc 2.17, and here is another library"),
        ("df", 'echo; echo "/dev/x 9 9 7 1% /"', "has 7 KiB free"),
    ],
)
def test_another_machine_is_refused(
    small_bundle: Callable[..., Path], tmp_path: Path, program: str, says: str, refused: str
) -> None:
    folder = small_bundle(needs_glibc="2.17", needs_kib="1000000")
    assert refused in said(folder, tmp_path / "prefix", PATH=stand_in(tmp_path / "bin", program, says))


def test_an_environment_that_is_not_there_is_refused(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    text = said(small_bundle(), tmp_path / "prefix", "vllm")
    assert "there is no environment vllm in this bundle, but: quarry" in text


def test_the_command_line(small_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = small_bundle()
    for arguments in ([], ["a", "b", "c"]):
        done = subprocess.run([folder / "install.sh", *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "one of: quarry\n" in done.stderr
