"""Markers in the model's text: kept where they name a passage, left out and counted where they do not."""

from collections.abc import Iterable, Iterator, Mapping

from service.generation.base import Cited, Delta, Passage
from service.generation.markers import Marker, MarkerScanner


class CitationParser:
    """Feed it the model's text piece by piece; it hands on the text to show and the citations in it.

    What counts as a marker is told in ``markers``. However it was written it is shown as ``[1]``, several numbers as
    ``[1][3]``, each once. A number that names no passage goes, and the space before a marker of which nothing is left.
    A range is a marker only if its first number names a passage: ``[18-65]`` and ``[0-9]`` stay what they are. The
    cited text is the whole passage.
    """

    def __init__(self, passages: Mapping[int, Passage]) -> None:
        self._passages = passages
        self._scanner = MarkerScanner()
        self._written = 0
        self.invalid = 0

    def feed(self, text: str) -> Iterator[Delta | Cited]:
        """Events for all text that is decided now."""
        return self._events(self._scanner.feed(text))

    def flush(self) -> Iterator[Delta | Cited]:
        """Events for what was still held back at the end of the stream."""
        return self._events(self._scanner.flush())

    def _events(self, found: Iterable[str | Marker]) -> Iterator[Delta | Cited]:
        for each in found:
            if isinstance(each, Marker):
                yield from self._citations(each)
            else:
                yield from self._delta(each)

    def _citations(self, marker: Marker) -> Iterator[Delta | Cited]:
        if any(len(item) > 1 and item[0] not in self._passages for item in marker.items):
            yield from self._delta(marker.written)
            return
        known = dict.fromkeys(number for item in marker.items for number in item if number in self._passages)
        self.invalid += sum(any(number not in self._passages for number in item) for item in marker.items)
        if known:
            yield from self._delta(marker.space)
        for number in known:
            chunk = self._passages[number].hit.chunk
            start = self._written
            yield from self._delta(f"[{number}]")
            yield Cited(number, chunk.start, chunk.end, start, self._written)

    def _delta(self, text: str) -> Iterator[Delta]:
        if text:
            self._written += len(text)
            yield Delta(text)
