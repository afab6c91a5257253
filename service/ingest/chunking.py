"""Chunks: as many whole sentences and paragraphs as fit into a number of tokens, with offsets and headings."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from indexes.base import PAGE_BREAK, Chunk, Document
from service.ingest.markdown_blocks import MarkdownBlocks
from service.lines import unwrapped

CountTokens = Callable[[str], int]

_SPECIAL_TOKENS = 4  # begin, end and the separators of every tokenizer in use fit into this
_MAX_CHARACTERS_PER_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Page:
    """Text that no chunk reaches beyond, from offset ``start`` of the document on; a whole one without a number."""

    number: int | None
    start: int
    text: str


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
        blocks = MarkdownBlocks.of(document.text) if document.format == "markdown" else None
        headings = blocks.headings if blocks else []
        starts = [heading.start for heading in headings]
        chunks: list[Chunk] = []
        for page, start, text in self._pieces(document, blocks):
            number = bisect_right(starts, start) - 1
            path = headings[number].path if number >= 0 else ()
            chunks.append(Chunk(document.id, len(chunks), text, start, start + len(text), path, page))
        return chunks

    def embedded_text(self, document: Document, chunk: Chunk) -> str:
        """What the vector of ``chunk`` is made of: title, heading path and text.

        Titles carry much of what a passage is about; without them retrieval measurably loses.
        """
        return f"{self.context(document.title, chunk.heading_path)}{chunk.text}"

    def context(self, title: str, heading_path: tuple[str, ...]) -> str:
        """What is embedded before a chunk or a sentence: title and headings, one line each, clipped to their limit."""
        lines = [line for line in (title, *heading_path) if line]
        if len(lines) > 1 and lines[0] == lines[1]:
            del lines[0]
        context = "\n".join(lines)
        while context and self.count_tokens(context) > context_limit(self.max_tokens):
            context = context[: int(len(context) * 0.8)]
        return f"{context}\n" if context else ""

    def _pieces(self, document: Document, blocks: MarkdownBlocks | None) -> Iterator[tuple[int | None, int, str]]:
        """Page, offset and text of each."""
        capacity = min(self.size, largest_chunk(self.max_tokens))
        overlap = min(self.overlap, capacity - 1)
        splitter_type = MarkdownSplitter if blocks else TextSplitter
        splitter = splitter_type.from_callback(self._measure, capacity, overlap)
        for page in _pages(document):
            levelled = blocks.levelled if blocks else unwrapped(page.text)
            for offset, piece in splitter.chunk_indices(levelled):
                text = page.text[offset : offset + len(piece)]
                # As it is written it may have more tokens than as it was looked at.
                parts = [(0, text)] if self._measure(text) <= capacity else splitter.chunk_indices(text)
                yield from ((page.number, page.start + offset + first, part) for first, part in parts if part.strip())

    def _measure(self, text: str) -> int:
        """Tokens, at least one for every ``_MAX_CHARACTERS_PER_TOKEN`` characters.

        A tokenizer may count an endless word as one unknown token, and a chunk must stay of a size that can be shown.
        What is too long by that alone is not tokenized.
        """
        floor = math.ceil(len(text) / _MAX_CHARACTERS_PER_TOKEN)
        return floor if floor > self.size else max(floor, self.count_tokens(text))


def _pages(document: Document) -> Iterator[Page]:
    if document.format != "paged":
        yield Page(None, 0, document.text)
        return
    start = 0
    for number, text in enumerate(document.text.split(PAGE_BREAK), start=1):
        yield Page(number, start, text)
        start += len(text) + len(PAGE_BREAK)
