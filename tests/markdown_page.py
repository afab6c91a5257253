"""A page of Markdown: its blocks of code, its headings, where its links lead."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
# An environment or a build of somebody's may be in the checkout, and has pages of others.
_FOLDERS = (".ci", "deploy", "docs", "indexes", "loadtests", "models", "service", "tests")
_PARSER = MarkdownIt("commonmark").enable("table")
_PROMPT = "$ "
_LEFT_OUT = "…"
_NO_ANCHOR = re.compile(r"[^\w\- ]")
_HTML_ANCHOR = re.compile(r'<a (?:id|name)="([^"]+)"')


def paths() -> list[Path]:
    """Every page of the project."""
    below = [path for folder in _FOLDERS for path in sorted((ROOT / folder).rglob("*.md"))]
    return sorted(ROOT.glob("*.md")) + below


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What stands behind each prompt, with the lines that continue it."""
        commands: list[str] = []
        for line in self.text.splitlines():
            if line.startswith(_PROMPT):
                commands.append(line.removeprefix(_PROMPT))
            elif commands and commands[-1].endswith("\\"):
                commands[-1] += "\n" + line
        return commands

    @property
    def shown(self) -> str:
        """What a console prints after its commands."""
        typed = {line for command in self.commands for line in f"{_PROMPT}{command}".splitlines()}
        return "\n".join(line for line in self.text.splitlines() if line not in typed).strip()

    def shows(self, printed: str) -> bool:
        """Whether it shows what was printed, where it leaves out what differs from one run to another."""
        pattern = ".*".join(re.escape(part) for part in self.shown.split(_LEFT_OUT))
        lines = "\n".join(line.rstrip() for line in printed.splitlines())
        return re.fullmatch(pattern, lines.strip(), re.DOTALL) is not None


class Page:
    """A page as it is read.

    Args:
        path: of its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens = _PARSER.parse(path.read_text())

    @property
    def blocks(self) -> list[Block]:
        """In their order."""
        fences = (token for token in self._tokens if token.type == "fence")
        return [Block(token.info.strip(), token.content) for token in fences]

    @property
    def links(self) -> list[str]:
        """Where links and images lead, as it is written."""
        found = (token.attrs.get("href") or token.attrs.get("src") for token in self._inline())
        return [str(target) for target in found if target]

    @property
    def spans(self) -> list[str]:
        """Code within the text."""
        return [token.content for token in self._inline() if token.type == "code_inline"]

    @cached_property
    def anchors(self) -> set[str]:
        """Of its headings, as hosts of repositories name them, and those that it sets itself."""
        html = (token.content for token in [*self._tokens, *self._inline()] if token.type.startswith("html"))
        return {*self._of_headings(), *(anchor for text in html for anchor in _HTML_ANCHOR.findall(text))}

    def section(self, anchor: str) -> str:
        """The source from a heading of the second level to the next.

        Raises:
            KeyError: no such heading is there.
        """
        lines = self.path.read_text().splitlines()
        starts = [token.map[0] for token in self._headings("h2") if token.map]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            if _slug(lines[start].removeprefix("## ")) == anchor:
                return "\n".join(lines[start:end])
        raise KeyError(anchor)

    def _headings(self, tag: str) -> Iterator[Token]:
        return (token for token in self._tokens if token.type == "heading_open" and token.tag == tag)

    def _inline(self) -> Iterator[Token]:
        return (child for token in self._tokens for child in token.children or ())

    def _of_headings(self) -> Iterator[str]:
        seen = Counter[str]()
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                anchor = _slug("".join(child.content for child in token.children or ()))
                yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
                seen[anchor] += 1


def _slug(heading: str) -> str:
    return _NO_ANCHOR.sub("", heading.replace("`", "").lower()).strip().replace(" ", "-")
