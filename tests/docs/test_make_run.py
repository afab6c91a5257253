"""make run, where a newcomer has been before."""

import shutil
from pathlib import Path

import pytest

from newcomer import Newcomer


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    for program in ("bash", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing")
    return Newcomer(tmp_path)


def test_it_says_what_it_lacks_before_it_loads(newcomer: Newcomer) -> None:
    run = f"make run --old-file=.venv/run.stamp PORT={newcomer.port} 2>&1"
    newcomer.type("quarry keys create operator --scope admin --data-dir quarry-data")
    said = newcomer.type(f"! {run}")
    assert "export QUARRY_KEY=" in said
    assert "rm quarry-data/keys.json" in said
    assert "Starting" not in said
