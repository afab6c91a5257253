"""Every file of settings that a page shows is one that the server takes, and so is every variable."""

import re
import tomllib
from pathlib import Path

import pytest

from markdown_page import ROOT, Page, paths
from service.settings import load_settings

# What its page gives beside the file.
SECRET = {"QUARRY_REDIS__SECRET": "a secret of all servers with 40 letters"}
SHOWN = [
    (path, block.text)
    for path in paths()
    for block in Page(path).blocks
    if block.language == "toml" and "rule" not in tomllib.loads(block.text)  # of content, a file of its own
]
VARIABLES = re.findall(
    r"^\| `[^`]+` \| `(QUARRY_\w+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE
)
# Of a shell or of compose; and names with a part that is left open.
OTHERS = {"QUARRY_KEY", "QUARRY_URL", "QUARRY_IMAGE", "QUARRY_GPUS", "QUARRY_MODELS", "QUARRY_FOLDER", "QUARRY_PORT"}


def places(variable: str) -> set[str]:
    """What it may stand as on the page of the settings."""
    name = variable.removesuffix("_FILE")
    return {name, re.sub(r"^QUARRY_LLM__[A-Z0-9]+__", "QUARRY_LLM__NAME__", name)}


@pytest.mark.parametrize(("path", "text"), SHOWN, ids=lambda part: part.name if isinstance(part, Path) else "")
def test_the_server_takes_a_file_that_is_shown(
    path: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRET.items():
        if "[redis]" in text:
            monkeypatch.setenv(name, value)
    (tmp_path / "quarry.toml").write_text(text)
    load_settings(tmp_path / "quarry.toml")


@pytest.mark.parametrize("path", paths(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_variable_that_is_named_is_one(path: Path) -> None:
    named = set(re.findall(r"\bQUARRY_[A-Z0-9_]*[A-Z0-9]\b", path.read_text())) - OTHERS
    assert {name for name in named if not places(name) & set(VARIABLES)} == set()
