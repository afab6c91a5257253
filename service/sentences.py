"""Sentences of a text: what could stand in an answer by itself."""

import re
from collections import Counter
from collections.abc import Iterator

import sentencex

from indexes.languages import UNICODE
from indexes.sentence_vectors import Span

_MIN_WORDS = 4
_ITEM = re.compile(r"[ \t]*(?:(?P<bullet>[-*+>])|(?P<number>\d{1,9})(?P<end>[.)]))[ \t]")
_ROW = re.compile(r"[ \t]*\|[ \t]")
_INDENTED = re.compile(r" {4}|\t")
# Behind what of a line the next one begins something new: the end of a sentence, a colon, a heading, a row.
_ENDED = re.compile(
    r"""[.!?:;\u2026\u3002\uff01\uff1f\uff1a\uff1b][*_`"'\u201c\u201d\u2019\u00bb)\]]*\s*$|^\s*(?:$|#|\||```)"""
)
_LEADING_MARK = re.compile(r"^(?:(?:[-*+]|>+)[ \t]++(?!\d))+")  # before a digit it may be a sign
_LEADING_EMPHASIS = re.compile(r"^(?P<mark>\*{1,3})(?=\S.*\S(?P=mark)(?!\w))", re.DOTALL)
_NUMBER = re.compile(r"\s*\d+[.)]\s*")
_AFTER_A_NUMBER = re.compile(r"\d\.\s*$")
_BEFORE_A_NAME = re.compile(r"(?<![\w.!?])[.!?]+$")  # as in .bashrc
# Dots towards the number of a page; only looked for where dots begin, as a text may be nothing else.
_LEADERS = re.compile(
    r"(?<![\s.\xb7\u2026])(?=[\s.\xb7\u2026]++\d)[\s.\xb7\u2026]*?(?:(?:[ \t][.\xb7]){3}|[.\xb7]{4}|\u2026{2})"
)
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese have no space between words: a character counts as one.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_DEFAULT_LANGUAGE = "en"


def spans_of(text: str, start: int, language: str) -> list[Span]:
    """Where the sentences of a chunk stand in its document; no headings, and nothing of fewer than four words.

    An item of a list, a row of a table and a line of a listing are never joined with their neighbours. A line that only
    looks like an item goes on with the one before, and no number is lost. A line of a table of contents is none.

    Args:
        start: of the text in the document.
        language: one of ``indexes.languages.LANGUAGES``, for its abbreviations.
    """
    abbreviations = _DEFAULT_LANGUAGE if language == UNICODE else language
    spans: list[Span] = []
    for first, block in _blocks(text):
        offset = start + first
        for place, piece in enumerate(_pieces(block, abbreviations)):
            sentence = piece.strip()
            if place == 0:
                sentence = _LEADING_MARK.sub("", sentence)
            sentence = _LEADING_EMPHASIS.sub("", sentence)
            begin = offset + piece.index(sentence)
            if _is_whole(sentence):
                spans.append((begin, begin + len(sentence)))
            offset += len(piece)
    return spans


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """The text in order, with offsets: paragraphs, and each item, row and line of a listing by itself."""
    lines = text.split("\n")
    marks = [_ITEM.match(line) for line in lines]
    kinds = Counter(_kind(mark) for mark in marks if mark)
    start = offset = 0
    for before, line, mark in zip(lines, lines[1:], marks[1:], strict=False):
        offset += len(before) + 1
        is_row = _ROW.match(line) is not None or not line.strip()
        is_listed = mark is not None and _is_in_a_run(mark, kinds)
        is_new = mark is not None or _INDENTED.match(line) is not None
        if is_row or is_listed or (is_new and _goes_no_further(before)):
            yield start, text[start:offset]
            start = offset
    yield start, text[start:]


def _is_in_a_run(mark: re.Match[str], kinds: Counter[str]) -> bool:
    """Whether the text has its neighbour in a list: another of the same bullets, the number before or behind."""
    if mark["bullet"]:
        return kinds[mark["bullet"]] > 1
    number, end = int(mark["number"]), mark["end"]
    return f"{number - 1}{end}" in kinds or f"{number + 1}{end}" in kinds


def _kind(mark: re.Match[str]) -> str:
    return mark["bullet"] or f"{int(mark['number'])}{mark['end']}"


def _goes_no_further(line: str) -> bool:
    return _ENDED.search(line) is not None or _INDENTED.match(line) is not None


def _pieces(block: str, language: str) -> list[str]:
    """Everything in it, sentence by sentence; nothing is cut behind a number or a full stop that ends none."""
    pieces: list[str] = []
    goes_on = False
    for piece in sentencex.segment(language, block):
        is_number = _NUMBER.fullmatch(piece) is not None
        if pieces and (goes_on or (piece.lstrip()[:1].islower() and _AFTER_A_NUMBER.search(pieces[-1]))):
            pieces[-1] += piece
        else:
            pieces.append(piece)
        goes_on = is_number or _BEFORE_A_NAME.search(piece) is not None
    if goes_on and len(pieces) > 1:
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return pieces


def _is_whole(sentence: str) -> bool:
    return (
        len(_WORD.findall(sentence)) >= _MIN_WORDS
        and not sentence.startswith(("#", "```"))
        and not _LEADERS.search(sentence)
    )
