"""A bundle whose `quarry` is a wheel of a few lines: ``small_bundle(needs=...)``."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.bundle.environment import Environment
from deploy.bundle.folder import fill, sign_off
from tiny_wheels import tiny_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NAMED = {"title": "quarry-1", "version": "1", "revision": "abc", "python": PYTHON, "epoch": "1000000000"}
ENTRY_POINT = {"quarry-1.0.dist-info/entry_points.txt": "[console_scripts]\nquarry = quarry:main\n"}


@pytest.fixture
def small_bundle(tmp_path: Path) -> Callable[..., Path]:
    def made(models: tuple[Path, ...] = (), **needs: str) -> Path:
        """Its folder; ``needs`` takes the place of what the environment needs."""
        wheels = tmp_path / "fetched"
        wheels.mkdir()
        source = "def main():\n    print('It answers.')\n"
        tiny_wheel(wheels, "quarry", ["Requires-Dist: dep"], {"quarry.py": source, **ENTRY_POINT})
        tiny_wheel(wheels, "dep", ["License-Expression: MIT"], {"dep.py": ""})
        environment = Environment.of_folder("quarry", PYTHON, "quarry", wheels)
        folder = tmp_path / "bundle"
        fill(folder, [environment], models, NAMED)
        file = folder / "environments" / "quarry" / "needs.env"
        lines = [line.split("=") for line in file.read_text().splitlines()]
        file.write_text("".join(f"{name}={needs.get(name, value)}\n" for name, value in lines))
        sign_off(folder)
        return folder

    return made
