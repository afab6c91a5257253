"""Wheels of an environment, by pip, from where it is configured to look."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement

from deploy.bundle.environment import Environment
from deploy.bundle.errors import BundleError
from deploy.bundle.profile import OWN, Source
from deploy.bundle.source_tree import ROOT, copy_tracked

_CONSTRAINTS = ROOT / "constraints"
# Quarry's wheel; built of a copy, since setuptools takes up what an earlier build left behind.
_MADE_OF = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "service", "models", "indexes")
# The newest glibc that a lock needs and all older ones, as pip wants them: each of them, the preferred first.
_PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(31, 4, -1)),
    *(f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")),
]
_WHEELS_ALONE = ("--only-binary", ":all:")


def own_wheel(scratch: Path, environment: Mapping[str, str]) -> Path:
    """Quarry's own.

    Args:
        environment: variables of the build; ``SOURCE_DATE_EPOCH`` makes it the same each time.

    Raises:
        BundleError: it cannot be built.
    """
    tree, built = scratch / "tree", scratch / "own"
    copy_tracked(tree, *_MADE_OF)
    _pip("wheel", "--no-deps", "--wheel-dir", str(built), str(tree), environment=environment)
    (wheel,) = built.iterdir()
    return wheel


def fetched(source: Source, own: Path, folder: Path, torch_index: str | None) -> Environment:
    """The wheels of one environment.

    Args:
        own: Quarry's wheel.
        folder: is made, and has the wheels then.
        torch_index: URL of an index with builds of torch for the CPU.

    Raises:
        BundleError: pip does not find them, or they are not those of the lock.
    """
    folder.mkdir()
    if source.is_locked:
        _by_lock(source, folder)
        if source.name == OWN:
            shutil.copy2(own, folder)
    else:
        _by_constraints(source, own, folder, torch_index)
    return Environment.of_folder(source.name, source.python, source.root, folder)


def _by_lock(source: Source, folder: Path) -> None:
    target = ["--implementation", "cp", "--python-version", source.python]
    for platform in _PLATFORMS:
        target += ["--platform", platform]
    lock = str(_CONSTRAINTS / source.pins)
    _pip("download", *target, *_WHEELS_ALONE, "--no-deps", "--require-hashes", "--dest", str(folder), "-r", lock)


def _by_constraints(source: Source, own: Path, folder: Path, torch_index: str | None) -> None:
    """First torch, or pip would be free to take a build with gigabytes of CUDA's libraries."""
    found = ["download", *_WHEELS_ALONE, "--dest", str(folder), "--constraint", str(_CONSTRAINTS / source.pins)]
    _pip(*found, *(["--index-url", torch_index] if torch_index else []), "torch")
    extras = ",".join(sorted(Requirement(source.root).extras))
    _pip(*found, "--find-links", str(folder), f"{own}[{extras}]")


def _pip(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  our own
    if done.returncode:
        raise BundleError(f"pip {arguments[0]} failed: {done.stderr.strip()}")
