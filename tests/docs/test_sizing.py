"""docs/sizing.md: the plan that it shows is what the command prints, and its bytes are those of the program."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexes.rows import Rows
from markdown_page import ROOT, Page

PAGE = Page(ROOT / "docs" / "sizing.md")
MODELS = ROOT / "tests" / "service" / "capacity" / "fixtures"
WIDTH = "140"  # what the page has room for


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder in which commands of the page find their model."""
    (tmp_path / "llama-3.1-8b").mkdir()
    shutil.copy(MODELS / "llama-3.1-8b.json", tmp_path / "llama-3.1-8b" / "config.json")
    return str(tmp_path)


def test_the_plan_is_what_the_command_prints(model: str) -> None:
    (block,) = (block for block in PAGE.blocks if block.shown)
    (command,) = block.commands
    done = subprocess.run(
        [str(Path(sys.executable).with_name("quarry")), *shlex.split(command)[1:]], cwd=model, check=False, timeout=500,
        env=os.environ | {"COLUMNS": WIDTH}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert block.shows(done.stdout), done.stdout


def test_a_row_has_the_bytes_of_the_page() -> None:
    dimension, count = 384, 10
    rows = Rows(dimension, "cosine")
    rows.append(np.arange(count), np.zeros(count, dtype=np.int64), np.ones((count, dimension), dtype=np.float32), 1)
    told = re.search(r"^\| ids and versions \| (\d+) \|", PAGE.path.read_text(), re.MULTILINE)
    assert told
    assert rows.bytes == count * (4 * dimension + int(told[1]))
