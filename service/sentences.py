"""Sentences of a text: what could stand in an answer by itself."""

import re
from collections.abc import Iterator

import sentencex

from indexes.languages import UNICODE
from indexes.sentence_vectors import Span

_MIN_WORDS = 4
_BLOCK_START = re.compile(r"(?<=\n)(?=[ \t]*(?:[-*+|>]|\d+[.)])[ \t]| {4}|\t|[ \t]*\n)")
_LEADING_MARKUP = re.compile(r"^(?:[-*+>_]+\s*)+")
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese have no space between words: a character counts as one.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_DEFAULT_LANGUAGE = "en"


def spans_of(text: str, start: int, language: str) -> list[Span]:
    """Where the sentences of a chunk stand in its document; no headings, and nothing of fewer than four words.

    An item of a list, a row of a table and a line of a listing are never joined with their neighbours.

    Args:
        start: of the text in the document.
        language: one of ``indexes.languages.LANGUAGES``, for its abbreviations.
    """
    abbreviations = _DEFAULT_LANGUAGE if language == UNICODE else language
    spans: list[Span] = []
    for offset, piece in _pieces(text, abbreviations):
        sentence = _LEADING_MARKUP.sub("", piece.strip())
        first = start + offset + piece.index(sentence)
        if _is_whole(sentence):
            spans.append((first, first + len(sentence)))
    return spans


def _pieces(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Everything in the text, with offsets in it."""
    offset = 0
    for block in _BLOCK_START.split(text):
        for piece in sentencex.segment(language, block):
            yield offset, piece
            offset += len(piece)


def _is_whole(sentence: str) -> bool:
    return len(_WORD.findall(sentence)) >= _MIN_WORDS and not sentence.startswith(("#", "```"))
