"""What of a Markdown text the chunker has to know: its headings, and what of it are paragraphs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MAX_HEADING_CHARACTERS = 200
_LINE_BREAK = re.compile(r"\r\n?|\n")  # CommonMark's line endings; str.splitlines knows others too
# Before the text of a line: items of lists, quotes, headings.
_BEFORE_TEXT = re.compile(r"(?:[ \t]*(?:[*+-]|\d{1,9}[.)]|>|#{1,6})(?=[ \t>]|$))*[ \t]*<?")
# Code, emphasis, links, strikethrough, HTML and mathematics within a line, and quotation marks and dashes, which become
# others in print; an underscore within a word is none.
_MARKUP = re.compile(r"[`*\[\]~<$\"]|\b_|_\b|(?<!\w)_(?!\w)|'|--+")
_HARD_BREAK = re.compile(r"(?: {2,}|\\)$")
# What means the same to the rules of words and sentences, and is no markup; for what is not named here, the last.
_NEUTRAL = {"'": "\N{RIGHT SINGLE QUOTATION MARK}", "-": "\N{EN DASH}"}
_CLOSING = "\N{RIGHT DOUBLE QUOTATION MARK}"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that starts at offset ``start``, with the titles above it and its own."""

    start: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarkdownBlocks:
    """The blocks of a Markdown text."""

    text: str
    tokens: Sequence[Token]
    line_starts: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Self:
        """Of CommonMark with tables; what is within a line is not looked at."""
        tokens = MarkdownIt("commonmark").enable("table").disable("inline").parse(text)
        return cls(text, tokens, [0, *(match.end() for match in _LINE_BREAK.finditer(text))])

    @property
    def headings(self) -> list[Heading]:
        """By offset, each with those above it."""
        stack: list[tuple[int, str]] = []
        found: list[Heading] = []
        for token, content in pairwise(self.tokens):
            if token.type == "heading_open" and token.map is not None:
                level = int(token.tag[1])
                stack = [(above, title) for above, title in stack if above < level]
                stack.append((level, content.content[:_MAX_HEADING_CHARACTERS]))
                path = tuple(title for _, title in stack if title)
                found.append(Heading(self.line_starts[token.map[0]], path))
        return found

    @property
    def levelled(self) -> str:
        """The text, as long as it is, in which a paragraph is made of sentences and nothing else.

        A splitter takes the edges of emphasis, code and links, and the ends of lines, for better places to cut at than
        those of sentences, and what is cut there can lose its condition.
        """
        characters = list(self.text)
        for token in self.tokens:
            if token.type == "inline" and token.map is not None:
                self._level(characters, *token.map)
        return "".join(characters)

    def _level(self, characters: list[str], first: int, end: int) -> None:
        """Of the paragraph in the lines from ``first`` to before ``end``."""
        for line in range(first, min(end, len(self.line_starts))):
            start = self.line_starts[line]
            behind = self.line_starts[line + 1] if line + 1 < len(self.line_starts) else len(self.text)
            text = self.text[start:behind].rstrip("\r\n")
            before = _BEFORE_TEXT.match(text)
            for markup in _MARKUP.finditer(text, before.end() if before else 0):
                mark = _NEUTRAL.get(markup[0][0], _CLOSING)
                characters[start + markup.start() : start + markup.end()] = mark * len(markup[0])
            if line + 1 < end and not _HARD_BREAK.search(text):
                characters[start + len(text) : behind] = " " * (behind - start - len(text))
