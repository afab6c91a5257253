"""A virtual environment of infinity's own: its dependencies and Quarry's exclude each other."""

import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

# What infinity-emb 0.0.77 works with: transformers 4, and a click before 8.2, under which its typer breaks.
TORCH = {"torch": "2.13.0"}
PINS = {
    "infinity-emb": "0.0.77",
    "sentence-transformers": "3.4.1",
    "transformers": "4.57.6",
    "click": "8.1.8",
}
_EXTRAS = {"infinity-emb": "[server,torch]"}
_NO_NUMPY_1 = (3, 13)
_VERSIONS = """
import importlib.metadata as m, json, sys
print(json.dumps({"python": sys.version.split()[0], **{d.name.lower().replace("_", "-"): d.version
      for d in m.distributions()}}))
"""


class EnvironmentSetupError(Exception):
    """The environment cannot be made; the message says why."""


def infinity_environment(folder: Path, torch_index: str | None, say: Callable[[str], None]) -> dict[str, str]:
    """Make the environment in ``folder``, unless it is there already.

    Args:
        folder: a virtual environment, or where to make one.
        torch_index: a package index for torch alone, e.g. one with CPU-only builds.
        say: where progress goes.

    Returns:
        Version by distribution, and of Python.

    Raises:
        EnvironmentSetupError: it cannot be made.
    """
    if not (folder / "bin" / "python").exists():
        _create(folder)
    versions = _installed(folder)
    if not _matches(versions):
        say(f"installing infinity {PINS['infinity-emb']} into {folder}; a few minutes the first time")
        _install(folder, TORCH, ["--index-url", torch_index] if torch_index else [])
        _install(folder, TORCH | PINS, [])
        versions = _installed(folder)
    if not _matches(versions):
        raise EnvironmentSetupError(f"{folder} has other versions than {TORCH | PINS} after the installation")
    return versions


def _create(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise EnvironmentSetupError(f"{folder} holds something else than a virtual environment")
    if sys.version_info >= _NO_NUMPY_1:
        raise EnvironmentSetupError(
            f"infinity needs numpy 1, which has no build for Python {sys.version.split()[0]}: "
            f"make the environment with an older one first, e.g. python3.12 -m venv {folder}"
        )
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentSetupError(f"no virtual environment at {folder}: {error}") from None


def _install(folder: Path, pins: Mapping[str, str], options: list[str]) -> None:
    wanted = [f"{name}{_EXTRAS.get(name, '')}=={version}" for name, version in pins.items()]
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *options, *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own
    if done.returncode:
        raise EnvironmentSetupError(f"pip install {' '.join(wanted)} failed: {done.stderr.strip()[-1500:]}")


def _installed(folder: Path) -> dict[str, str]:
    command = [str(folder / "bin" / "python"), "-c", _VERSIONS]
    try:
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  our own
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentSetupError(f"the Python of {folder} does not run: {error}") from None
    versions: dict[str, str] = orjson.loads(done.stdout)
    return versions


def _matches(versions: Mapping[str, str]) -> bool:
    """A local part, such as the +cpu of a build of torch, may differ."""
    return all(versions.get(name, "").partition("+")[0] == version for name, version in (TORCH | PINS).items())
