"""Whether the model says that it found no answer, told before any of it is shown."""

import re

from service.generation.prompt import NO_ANSWER

# Models put the phrase in bold or in quotes, end it as they like, and cite the passages in which they found nothing.
_AROUND = r"\s*_#>\"'`\u201c\u201d\u2018\u2019"
_WORDS = NO_ANSWER.rstrip(".").split()
_PHRASE = r"\s{1,4}".join(map(re.escape, _WORDS))
_MARKERS = r"(?:\s?\[[\d, ]{1,16}\]){0,4}"
_SAID = rf"[{_AROUND}]{{0,32}}{_PHRASE}{_MARKERS}[*_\"'`\u201d\u2019]{{0,8}}"
_ENDED = re.compile(rf"{_SAID}(?:[.!\u3002]|[^\S\n]{{0,4}}\n)", re.IGNORECASE)
_WHOLE = re.compile(rf"{_SAID}\s{{0,32}}\Z", re.IGNORECASE)

_BEFORE = re.compile(rf"\A[{_AROUND}]+")
_BLANKS = re.compile(r"\s+")
_BEGINNING = " ".join(_WORDS).casefold()
_AFTER = re.compile(rf"[{_AROUND}\[\]\d,]*")
_LONGEST_HELD = 250


class Abstention:
    """Feed it the model's text piece by piece; it hands on what is an answer, and nothing of a refusal.

    An answer that begins with the agreed phrase as a sentence of its own is none, whatever follows: an explanation of
    what was not found, or what the model knows from elsewhere. A sentence that only begins like it, ``... this question
    directly, but``, is an answer. So is the phrase behind other words: part of the question was answered then.

    The beginning is held back as long as it could be the phrase, so that what was shown is never taken back.
    """

    def __init__(self) -> None:
        self._held: str | None = ""
        self.abstained = False

    def feed(self, text: str) -> str:
        """What can be shown now."""
        if self.abstained:
            return ""
        if self._held is None:
            return text
        self._held += text
        if _ENDED.match(self._held):
            self.abstained = True
            return ""
        return "" if _could_be(self._held) else self._released()

    def flush(self) -> str:
        """What was still held back at the end of the stream."""
        self.abstained = self.abstained or (self._held is not None and bool(_WHOLE.match(self._held)))
        return "" if self.abstained else self._released()

    def _released(self) -> str:
        held, self._held = self._held or "", None
        return held


def _could_be(text: str) -> bool:
    """Whether more text could make it the phrase."""
    if len(text) > _LONGEST_HELD:
        return False
    said = _BLANKS.sub(" ", _BEFORE.sub("", text)).casefold()
    if len(said) <= len(_BEGINNING):
        return _BEGINNING.startswith(said)
    return said.startswith(_BEGINNING) and bool(_AFTER.fullmatch(said, len(_BEGINNING)))
