"""Every command of quarry, every target of make and every route that a page names is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from markdown_page import ROOT, Page, paths
from service.cli.main import app

# Made of the program, and held to it by tests of their own; and what was, when it was.
OTHERS = {ROOT / "docs" / "cli.md", ROOT / "docs" / "reference" / "api.md", ROOT / "CHANGELOG.md"}
PAGES = [path for path in paths() if path not in OTHERS]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
ROUTES = re.findall(r"^### ([A-Z]+) (/\S+)$", (ROOT / "docs" / "reference" / "api.md").read_text(), re.MULTILINE)
TREE = typer.main.get_command(app)
_COMMAND = re.compile(r"(?:^|\$\()(?:[A-Z_]+=\S+ )*(?:\S*/)?(quarry|make) ([^)]*)")
_ROUTE = re.compile(r"^(?:(GET|HEAD|PUT|POST|DELETE) )?(/(?:v1|v2)/[^\s`?]*|/healthz|/readyz|/metrics)")
_ADDRESSED = re.compile(r"localhost:8080(/v[12][^\s'\"?]*)")


def typed(path: Path) -> list[list[str]]:
    """Words of commands of quarry and make, in consoles and in the text."""
    page = Page(path)
    lines = [command for block in page.blocks for command in block.commands] + page.spans
    found = (match for line in lines for match in _COMMAND.finditer(line.replace("\\\n", " ")))
    return [[match[1], *shlex.split(re.split(r"[|>;#]", _closed(match[2]))[0])] for match in found]


def _closed(words: str) -> str:
    """Without a quote that is open: what follows it is of the shell around."""
    return words if words.count("'") % 2 == 0 and words.count('"') % 2 == 0 else re.split("['\"]", words)[0]


def fault(words: list[str]) -> str | None:
    """What is wrong with a command, if anything is."""
    if words[0] == "make":
        unknown = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word) and word not in TARGETS]
        return f"no target {unknown[0]}" if unknown else None
    command, left = TREE, words[1:]
    while left and hasattr(command, "commands"):
        if left[0] not in command.commands:
            return None if left[0] in {"...", "…", "--help"} else f"no command {left[0]}"
        command, left = command.commands[left[0]], left[1:]
    known = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
    asked = [word.split("=")[0] for word in left if word.startswith("--")]
    return next((f"no option {option}" for option in asked if option not in known), None)


def is_served(method: str | None, route: str) -> bool:
    """Whether a route of the reference takes the path, whose placeholders may be named otherwise."""
    for there, template in ROUTES:
        pattern = re.sub(r"\\\{id\\\}$", ".+", re.sub(r"\\\{(?!id)\w+\\\}", "[^/:]+", re.escape(template)))
        if (method in {None, there} or (method == "HEAD" and there == "GET")) and re.fullmatch(pattern, route):
            return True
    return False


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_there(path: Path) -> None:
    assert {shlex.join(words): why for words in typed(path) if (why := fault(words))} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_routes_are_there(path: Path) -> None:
    page = Page(path)
    named = [found.groups() for span in page.spans if (found := _ROUTE.match(span))]
    consoles = [block.text for block in page.blocks if block.language == "console"]
    asked = [(None, route) for text in consoles for route in _ADDRESSED.findall(text)]
    assert [(method, route) for method, route in [*named, *asked] if not is_served(method, route.rstrip("/"))] == []


def test_they_would_be_missed() -> None:
    assert fault(["quarry", "index", "polish"]) == "no command polish"
    assert fault(["quarry", "ask", "why", "--loud"]) == "no option --loud"
    assert fault(["make", "coffee"]) == "no target coffee"
    assert not is_served("POST", "/v1/collections/mine")
    assert not is_served(None, "/v1/answers")
    assert is_served("PUT", "/v1/collections/mine/documents/a/b.md")


def test_nobody_is_sent_to_a_package_index_for_quarry() -> None:
    """A stranger's program has the name there."""
    sources = [path for folder in ("service", "indexes", "models") for path in (ROOT / folder).rglob("*.py")]
    asked = re.compile(r"pip install\b[^`\n]*\bquarry\b(?!-)")
    found = {path: asked.findall(path.read_text()) for path in [*PAGES, *sources]}
    assert {path: lines for path, lines in found.items() if lines} == {}
