"""Containment: whether a text holds one of the answers that are accepted for a question."""

import re
import string
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces.

    As the evaluation script of SQuAD does it (P. Rajpurkar et al., EMNLP 2016), in its order.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def contains(text: str, answers: Iterable[str]) -> bool:
    """One of the answers is a part of the text, both normalized; an answer of which nothing is left is in no text."""
    within = normalized(text)
    return any(answer and answer in within for answer in map(normalized, answers))
