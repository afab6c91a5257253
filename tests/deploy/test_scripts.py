"""Shell scripts and the Dockerfile, by the linters that know them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "constraints" / "locks", ROOT / "deploy" / "bundle" / "install.sh", *(ROOT / ".ci").iterdir()]


def found_by(linter: str, *arguments: str | Path) -> str:
    program = Path(sys.executable).parent / linter
    if not program.exists():
        pytest.skip(f"{linter} is missing: the extra dev has it")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300, check=False).stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts(script: Path) -> None:
    assert found_by("shellcheck", script) == ""


def test_the_dockerfile() -> None:
    assert found_by("hadolint", ROOT / "Dockerfile.cuda") == ""
