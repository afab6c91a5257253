"""Markers like [2] in a stream of tokens: kept where they name a passage, left out and counted where they do not."""

import re
from collections.abc import Iterator, Mapping

from service.generation.base import Cited, Delta, Passage

# The longest list between brackets: a hundred passages fit, and what is longer is text however it was split.
_LIST = r"[\d\s,]{0,400}"
_MARKER = re.compile(rf"\s{{0,8}}\[(?={_LIST}\])\s*(\d+(?:\s*,\s*\d+)*)\s*\]")
# What could still become a marker, with the space before it: it waits for the next token.
_UNDECIDED = re.compile(rf"\s{{0,8}}(?:\[{_LIST})?\Z")
_SPACE = re.compile(r"^\s*")


class CitationParser:
    """Feed it the model's text piece by piece; it hands on the text to show and the citations in it.

    A marker may be split between pieces in any way. ``[1, 3]`` is two citations and shown as ``[1][3]``. The cited text
    is the whole passage.
    """

    def __init__(self, passages: Mapping[int, Passage]) -> None:
        self._passages = passages
        self._held = ""
        self._written = 0
        self.invalid = 0

    def feed(self, text: str) -> Iterator[Delta | Cited]:
        """Events for all text that is decided now."""
        self._held += text
        undecided = _UNDECIDED.search(self._held)
        cut = undecided.start() if undecided else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._events(ready)

    def flush(self) -> Iterator[Delta | Cited]:
        """Events for what was still held back at the end of the stream."""
        ready, self._held = self._held, ""
        return self._events(ready)

    def _events(self, text: str) -> Iterator[Delta | Cited]:
        position = 0
        for match in _MARKER.finditer(text):
            yield from self._delta(text[position : match.start()])
            yield from self._citations(match)
            position = match.end()
        yield from self._delta(text[position:])

    def _citations(self, match: re.Match[str]) -> Iterator[Delta | Cited]:
        numbers = [int(number) for number in match[1].split(",")]
        known = [number for number in numbers if number in self._passages]
        self.invalid += len(numbers) - len(known)
        if known:
            space = _SPACE.match(match[0])
            yield from self._delta(space[0] if space else "")
        for number in known:
            chunk = self._passages[number].hit.chunk
            start = self._written
            yield from self._delta(f"[{number}]")
            yield Cited(number, chunk.start, chunk.end, start, self._written)

    def _delta(self, text: str) -> Iterator[Delta]:
        if text:
            self._written += len(text)
            yield Delta(text)
