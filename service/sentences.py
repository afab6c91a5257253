"""Sentences of a text: what could stand in an answer by itself."""

import re
from collections.abc import Iterator

import sentencex

from indexes.languages import UNICODE
from indexes.sentence_vectors import Span
from service.lines import beginnings

_MIN_WORDS = 4
_LEADING_MARK = re.compile(r"^(?:(?:[-*+\u2022]|>+)[ \t]++(?!\d))+")  # before a digit it may be a sign
_LEADING_EMPHASIS = re.compile(r"^(?P<mark>\*{1,3})(?=\S.*\S(?P=mark)(?!\w))", re.DOTALL)
_NUMBER = re.compile(r"\s*\d+[.)]\s*")
_AFTER_A_NUMBER = re.compile(r"\d\.\s*$")
_BEFORE_A_NAME = re.compile(r"(?:^|[\s(\[{<])[\"'`\u201c\u2018]?[.!?]+$")  # as in .bashrc
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
    start = end = 0
    for line, begins in zip(lines, beginnings(lines), strict=True):
        if begins and end:
            yield start, text[start:end]
            start = end
        end += len(line) + 1
    yield start, text[start:]


def _pieces(block: str, language: str) -> list[str]:
    """Everything in it, sentence by sentence; nothing is cut behind a number or a full stop that ends none."""
    pieces: list[str] = []
    before = ""
    for piece in sentencex.segment(language, block):
        if _goes_on(before, piece):
            pieces[-1] += piece
        else:
            pieces.append(piece)
        before = piece
    if len(pieces) > 1 and _NUMBER.fullmatch(pieces[-1]):
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return pieces


def _goes_on(before: str, piece: str) -> bool:
    """Whether no sentence ends between the two."""
    is_name = piece[:1].isalnum() and _BEFORE_A_NAME.search(before) is not None
    is_small = piece.lstrip()[:1].islower() and _AFTER_A_NUMBER.search(before) is not None
    return is_name or is_small or _NUMBER.fullmatch(before) is not None


def _is_whole(sentence: str) -> bool:
    return (
        len(_WORD.findall(sentence)) >= _MIN_WORDS
        and not sentence.startswith(("#", "```"))
        and not _LEADERS.search(sentence)
    )
