"""Chunks: as many whole sentences and paragraphs as fit into a number of tokens, with offsets and headings."""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from indexes.base import PAGE_BREAK, Chunk, Document

CountTokens = Callable[[str], int]

_SPECIAL_TOKENS = 4  # begin, end and the separators of every tokenizer in use fit into this
_MAX_CHARACTERS_PER_TOKEN = 16
_MAX_HEADING_CHARACTERS = 200
_LINE_BREAK = re.compile(r"\r\n?|\n")  # CommonMark's line endings; str.splitlines knows others too


@dataclass(frozen=True, slots=True)
class Page:
    """Text that no chunk reaches beyond, from offset ``start`` of the document on; a whole one without a number."""

    number: int | None
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that starts at offset ``start``, with the titles above it and its own."""

    start: int
    path: tuple[str, ...]


def context_limit(max_tokens: int) -> int:
    """Tokens for title and headings before a chunk: a quarter of what the embedder reads."""
    return max_tokens // 4


def largest_chunk(max_tokens: int) -> int:
    """Tokens of the longest chunk that the embedder reads whole, title and headings before it."""
    return max(1, max_tokens - context_limit(max_tokens) - _SPECIAL_TOKENS)


@dataclass(frozen=True, slots=True)
class Chunker:
    """Cuts documents for one embedder.

    Attributes:
        count_tokens: the embedder's own count.
        size: longest chunk in tokens.
        overlap: tokens that neighbours share at most.
        max_tokens: what the embedder reads of a text; title, headings and chunk fit into it together.
    """

    count_tokens: CountTokens
    size: int
    overlap: int
    max_tokens: int

    def chunks(self, document: Document) -> list[Chunk]:
        """Chunks in order; ``chunk.text == document.text[chunk.start:chunk.end]``, on one page, and none is blank."""
        headings = _headings(document.text) if document.format == "markdown" else []
        starts = [heading.start for heading in headings]
        chunks: list[Chunk] = []
        for page, start, text in self._pieces(document):
            number = bisect_right(starts, start) - 1
            path = headings[number].path if number >= 0 else ()
            chunks.append(Chunk(document.id, len(chunks), text, start, start + len(text), path, page))
        return chunks

    def embedded_text(self, document: Document, chunk: Chunk) -> str:
        """What the vector of ``chunk`` is made of: title, heading path and text.

        Titles carry much of what a passage is about; without them retrieval measurably loses.
        """
        return f"{self._context(document.title, chunk.heading_path)}{chunk.text}"

    def _pieces(self, document: Document) -> Iterator[tuple[int | None, int, str]]:
        """Page, offset and text of each."""
        capacity = min(self.size, largest_chunk(self.max_tokens))
        overlap = min(self.overlap, capacity - 1)
        splitter_type = MarkdownSplitter if document.format == "markdown" else TextSplitter
        splitter = splitter_type.from_callback(self._measure, capacity, overlap)
        for page in _pages(document):
            for offset, text in splitter.chunk_indices(page.text):
                if text.strip():
                    yield page.number, page.start + offset, text

    def _measure(self, text: str) -> int:
        """Tokens, at least one for every ``_MAX_CHARACTERS_PER_TOKEN`` characters.

        A tokenizer may count an endless word as one unknown token, and a chunk must stay of a size that can be shown.
        What is too long by that alone is not tokenized.
        """
        floor = math.ceil(len(text) / _MAX_CHARACTERS_PER_TOKEN)
        return floor if floor > self.size else max(floor, self.count_tokens(text))

    def _context(self, title: str, heading_path: tuple[str, ...]) -> str:
        """Title and headings, one line each, clipped to what the embedder has left for them."""
        lines = [line for line in (title, *heading_path) if line]
        if len(lines) > 1 and lines[0] == lines[1]:
            del lines[0]
        context = "\n".join(lines)
        while context and self.count_tokens(context) > context_limit(self.max_tokens):
            context = context[: int(len(context) * 0.8)]
        return f"{context}\n" if context else ""


def _pages(document: Document) -> Iterator[Page]:
    if document.format != "paged":
        yield Page(None, 0, document.text)
        return
    start = 0
    for number, text in enumerate(document.text.split(PAGE_BREAK), start=1):
        yield Page(number, start, text)
        start += len(text) + len(PAGE_BREAK)


def _headings(text: str) -> list[Heading]:
    """Headings of a Markdown text by offset, each with those above it."""
    line_starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text))]
    stack: list[tuple[int, str]] = []
    headings: list[Heading] = []
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.map is not None:
            level = int(token.tag[1])
            stack = [(above, title) for above, title in stack if above < level]
            stack.append((level, content.content[:_MAX_HEADING_CHARACTERS]))
            headings.append(Heading(line_starts[token.map[0]], tuple(title for _, title in stack if title)))
    return headings
