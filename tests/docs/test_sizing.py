"""docs/sizing.md: the plan that it shows is what the command prints, and its bytes are those of the program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from indexes.rows import Rows
from markdown_page import ROOT, Page

PAGE = Page(ROOT / "docs" / "sizing.md")
WIDTH = "140"  # what the page has room for


def planned(words: list[str]) -> subprocess.CompletedProcess[str]:
    """A command of quarry, typed in the folder of the clone."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("quarry")), *words[1:]], cwd=ROOT, check=False, timeout=500,
        env=os.environ | {"COLUMNS": WIDTH}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_plan_is_what_the_command_prints() -> None:
    (block,) = (block for block in PAGE.blocks if block.shown)
    (command,) = block.commands
    done = planned(shlex.split(command))
    assert done.returncode == 0, done.stderr
    assert block.shows(done.stdout), done.stdout


def test_the_other_plan_can_be_typed() -> None:
    (span,) = (span for span in PAGE.spans if span.startswith("quarry plan --"))
    done = planned(shlex.split(span))
    assert done.returncode in {0, 2}, done.stderr  # 2 is what does not fit


def test_a_row_has_the_bytes_of_the_page() -> None:
    dimension, count = 384, 10
    rows = Rows(dimension, "cosine")
    rows.append(np.arange(count), np.zeros(count, dtype=np.int64), np.ones((count, dimension), dtype=np.float32), 1)
    told = re.search(r"^\| ids and versions \| (\d+) \|", PAGE.path.read_text(), re.MULTILINE)
    assert told
    assert rows.bytes == count * (4 * dimension + int(told[1]))
