"""Lines of a text: which of them begin something new, and which go on with the line before."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

_ITEM = re.compile(r"[ \t]*(?:(?P<bullet>[-*+>\u2022])|(?P<number>\d{1,9})(?P<end>[.)]))[ \t]")
_ROW = re.compile(r"[ \t]*\|[ \t]")
_INDENTED = re.compile(r" {4}|\t")
_SENTENCE_END = re.compile(r"""[.!?:;\u2026\u3002\uff01\uff1f\uff1a\uff1b][*_`"'\u201c\u201d\u2019\u00bb)\]]*\s*$""")
_BLOCK = re.compile(r"\s*(?:$|#|\||```)")
_FILLED = 0.7  # of the longest line; a shorter one ended before its column did


def beginnings(lines: Sequence[str]) -> list[bool]:
    """Whether each line begins something new: an item, a row of a table, a line of a listing, or a blank one.

    What only looks like an item goes on with the line before, ``... returns a status of`` and ``127. If ...``: an item
    stands behind the end of a sentence or a block, or the lines have its neighbour in the list.
    """
    marks = [_ITEM.match(line) for line in lines]
    kinds = Counter(_kind(mark) for mark in marks if mark)
    begins = [True]
    for before, line, mark in zip(lines, lines[1:], marks[1:], strict=False):
        is_listed = mark is not None and _has_neighbour(mark, kinds)
        may_begin = mark is not None or _INDENTED.match(line) is not None
        is_row = _ROW.match(line) is not None or not line.strip()
        begins.append(is_row or is_listed or (may_begin and (is_ended(before) or bool(_INDENTED.match(before)))))
    return begins


def is_ended(line: str) -> bool:
    """Whether a sentence ends with the line, or it is a block by itself, as a heading is."""
    return _SENTENCE_END.search(line) is not None or _BLOCK.match(line) is not None


def unwrapped(text: str) -> str:
    """Plain text, as long as it is, with a space in place of every line end within a sentence.

    A splitter takes the end of a line for a better place to cut at than that of a sentence. Where most lines that end
    without a full stop are followed by a small letter, it is prose in a column, and every such or filled line goes
    on in the next; elsewhere, as in logs and tables, all lines stay.
    """
    lines = text.split("\n")
    begins = beginnings(lines)
    opened = [
        not begun and not is_ended(line) and not following[:1].isspace()
        for (line, following), begun in zip(pairwise(lines), begins[1:], strict=True)
    ]
    small = [following[:1].islower() for following in lines[1:]]
    if 2 * sum(one and other for one, other in zip(opened, small, strict=True)) <= sum(opened):
        return text
    filled = _FILLED * max(map(len, lines))
    parts: list[str] = []
    for line, is_open, is_small in zip(lines, opened, small, strict=False):
        goes_on = is_open and (is_small or len(line) >= filled)
        parts.append(line.removesuffix("\r").ljust(len(line) + 1) if goes_on else f"{line}\n")
    return "".join([*parts, lines[-1]])


def _has_neighbour(mark: re.Match[str], kinds: Counter[str]) -> bool:
    """Another of the same bullets, or the number before or behind."""
    if mark["bullet"]:
        return kinds[mark["bullet"]] > 1
    number, end = int(mark["number"]), mark["end"]
    return f"{number - 1}{end}" in kinds or f"{number + 1}{end}" in kinds


def _kind(mark: re.Match[str]) -> str:
    return mark["bullet"] or f"{int(mark['number'])}{mark['end']}"
