"""How language models mark what a statement rests on, found in text that comes in pieces.

A marker is numbers in brackets: ``[1]``, ``[1, 3]``, ``[1; 3]``, ``[1 and 3]``, ``[2-4]``, ``[^1]``, ``[passage 1]``,
``[Source 1, Source 2]``, ``【1】``, ``【1†source】`` and the same in brackets or digits that look like these. A number
has up to three digits: ``[2024]`` is text. So are brackets in code, between backticks on a line or three of them, since
there they are an index or a regular expression. The target of a link, ``[1](https://...)``, belongs to the marker.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CLOSING = {
    "[": "]",
    "【": "】",
    "\uff3b": "\uff3d",
    "\u3014": "\u3015",
    "\u3016": "\u3017",
    "\u27e6": "\u27e7",
    "\u2045": "\u2046",
    "\ufe5d": "\ufe5e",
    "\u2772": "\u2773",
}
_OPENINGS, _CLOSINGS = "".join(map(re.escape, _CLOSING)), "".join(map(re.escape, _CLOSING.values()))
_OPEN, _CLOSE = f"[{_OPENINGS}]", f"[{_CLOSINGS}]"
_NO_BRACKET = rf"[^{_OPENINGS}{_CLOSINGS}`\n]"
_NOUNS = ("passage", "source", "document", "doc", "reference", "ref")
_LABELS = tuple(label for noun in _NOUNS for label in (f"{noun}s", noun))
_LABEL = rf"(?:(?i:{'|'.join(_LABELS)})\s?)?"
_DASH = r"[-\u2010-\u2014]"
_ITEM = rf"{_LABEL}\^?\d{{1,3}}(?:\s?{_DASH}\s?\d{{1,3}})?"
_BETWEEN = r"\s{0,2}(?:[,;&\uff0c、]|and)\s{0,2}"
# A hundred numbers fit, and what is longer is text however it was split.
_LIST = 400
_NOTE = rf"(?:†{_NO_BRACKET}{{0,40}})?"
_TARGET = r"(?:\((?:https?:|[#/.])[^\s()]{0,300}\))?"
_SPACE = r"[^\S\n]{0,8}"
_MARKER = (
    rf"(?P<space>{_SPACE})(?P<open>{_OPEN})(?=[^{_OPENINGS}{_CLOSINGS}]{{0,{_LIST}}}{_CLOSE})"
    rf"\s{{0,2}}(?P<items>{_ITEM}(?:{_BETWEEN}{_ITEM})*)\s{{0,2}}{_NOTE}(?P<close>{_CLOSE}){_TARGET}"
)
_CODE = r"``[^`\n]{1,200}``|`[^`\n]{1,200}`"
_NUMBERS = re.compile(rf"(\d{{1,3}})(?:\s?{_DASH}\s?(\d{{1,3}}))?")

# What could still become a marker or code: every beginning of one, and a little more.
_BEGUN_LABEL = "|".join(dict.fromkeys(word[:end] for word in _LABELS for end in range(len(word), 0, -1)))
_BEGUN_LIST = rf"{_LABEL}\^?\d[\w\s,;&^\uff0c、\u2010-\u2014-]{{0,{_LIST}}}{_NOTE}"
_BEGUN_MARKER = rf"{_OPEN}\s{{0,2}}(?:\^|(?i:{_BEGUN_LABEL})\s?\^?|{_BEGUN_LIST}(?:{_CLOSE}(?:\([^\s()]{{0,300}})?)?)?"
_BEGUN_CODE = r"``?[^`\n]{0,200}|``[^`\n]{1,200}`"
_LONGEST_BEGUN = 1000


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker as it was written.

    Attributes:
        written: with ``space``, that before it on the same line.
        items: what it lists; a range for each, of one number mostly.
    """

    written: str
    space: str
    items: tuple[range, ...]


@dataclass(frozen=True, slots=True)
class _Grammar:
    """What is looked for, and what must wait because it could become that."""

    token: re.Pattern[str]
    begun: re.Pattern[str]


_PROSE = _Grammar(
    re.compile(rf"(?P<block>```)|{_CODE}|{_MARKER}"), re.compile(rf"(?:{_SPACE}(?:{_BEGUN_MARKER})?|{_BEGUN_CODE})\Z")
)
_BLOCK = _Grammar(re.compile("(?P<block>```)"), re.compile(r"`{0,2}\Z"))


class MarkerScanner:
    """Feed it text piece by piece; it gives the same text and markers however the text was split.

    It holds back what could still become a marker, a thousand characters at most and seldom more than a few.
    """

    def __init__(self) -> None:
        self._held = ""
        self._grammar = _PROSE

    def feed(self, piece: str, *, is_all: bool = False) -> Iterator[str | Marker]:
        """What is decided now: everything, when this is all of the text.

        It must be read to its end before the next piece is fed.
        """
        text, position = self._held + piece, 0
        while True:
            end = len(text) if is_all else self._decided(text, position)
            token = self._grammar.token.search(text, position)
            if token is None or token.start() >= end:
                break
            yield text[position : token.start()]
            yield self._meaning(token)
            position = token.end()
        yield text[position:end]
        self._held = text[end:]

    def _decided(self, text: str, position: int) -> int:
        """Up to where nothing that follows could change what is there."""
        begun = self._grammar.begun.search(text, max(position, len(text) - _LONGEST_BEGUN))
        return begun.start() if begun else len(text)

    def _meaning(self, token: re.Match[str]) -> str | Marker:
        if token["block"]:
            self._grammar = _PROSE if self._grammar is _BLOCK else _BLOCK
        found = token.groupdict()
        if not found.get("items") or _CLOSING[found["open"]] != found["close"]:
            return token[0]
        return Marker(token[0], found["space"], tuple(map(_item, _NUMBERS.finditer(found["items"]))))


def without_markers(text: str) -> str:
    """``text`` without the markers that an answer of ours is shown with, and the space before them."""
    return "".join(
        found if isinstance(found, str) else "" if all(len(item) == 1 for item in found.items) else found.written
        for found in MarkerScanner().feed(text, is_all=True)
    )


def _item(number: re.Match[str]) -> range:
    first, last = int(number[1]), int(number[2] or number[1])
    return range(first, max(first, last) + 1)
