"""Redaction: a text with its masked spans replaced, and where the rest of it went."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(slots=True)
class _Edit:
    """A span that was replaced; ``start`` and ``end`` in the text as it came, the others in the text as it is shown."""

    start: int
    end: int
    shown_end: int


class Redaction:
    """Add the text as it comes, then mask spans of it in the order of their starts and take what is shown.

    Spans that overlap are one, which shows the replacement of the first.
    """

    def __init__(self) -> None:
        self._text = ""
        self._offset = 0  # of it in the whole
        self._done = 0  # shown or masked up to here
        self._shown = 0  # characters
        self._edits: list[_Edit] = []

    def add(self, text: str) -> None:
        """More of the text, of which nothing is shown yet."""
        self._text, self._offset = self._text[self._done - self._offset :] + text, self._done

    def mask(self, start: int, end: int, replacement: str) -> str:
        """What is to be shown up to the end of a span."""
        if start < self._done:
            if end > self._done:
                self._edits[-1].end = self._done = end
            return ""
        shown = self.upto(start) + replacement
        self._shown += len(replacement)
        self._edits.append(_Edit(start, end, self._shown))
        self._done = end
        return shown

    def upto(self, end: int) -> str:
        """What is to be shown up to an offset, nothing behind what was shown being masked there."""
        if end <= self._done:
            return ""
        text = self._text[self._done - self._offset : end - self._offset]
        self._shown += len(text)
        self._done = end
        return text

    @property
    def length(self) -> int:
        """Of the text so far, as it came."""
        return self._offset + len(self._text)

    def shown_at(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a span of the text as it came is shown; None where it is not, or not as it was."""
        before = bisect_right(self._edits, start, key=lambda edit: edit.start)
        following = self._edits[before].start if before < len(self._edits) else self._done
        if end > following or (before and self._edits[before - 1].end > start):
            return None
        shift = self._edits[before - 1].shown_end - self._edits[before - 1].end if before else 0
        return start + shift, end + shift
