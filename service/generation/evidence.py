"""Evidence: what speaks for each sentence as the answer to a question."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexes.analysis import Analyzer
from service.generation.base import Sentence

# Measured on SQuAD's paragraphs, see docs/decisions/0016-sentence-vectors.md. The cosine has the weight 1.
_WORDS, _PAIRS, _JOINT, _PASSAGE = 0.5, 0.3, 0.3, 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a sentence; all but the cosine is 0..1.

    Attributes:
        said: its words, which tell repetitions.
        words: share of the question's words that it has, each by its inverse document frequency.
        pairs: share of the question's neighbouring words that are neighbours in it.
        joint: as ``words``, of it and the sentence before it: a pronoun's noun is there.
        passage: cosine of its passage, not below 0.
    """

    sentence: Sentence
    said: tuple[str, ...]
    words: float
    pairs: float
    joint: float
    passage: float

    @property
    def without_vector(self) -> float:
        """The part of the score that needs no vector."""
        return _WORDS * self.words + _PAIRS * self.pairs + _JOINT * self.joint + _PASSAGE * self.passage

    @property
    def score(self) -> float:
        """By which sentences are ranked, in units of a cosine; only of one whose cosine is known."""
        return (self.sentence.cosine or 0.0) + self.without_vector


def evidence_for(query: str, sentences: Sequence[Sentence], analyzer: Analyzer) -> list[Evidence]:
    """Evidence for each sentence.

    Words weigh by their inverse document frequency among these sentences, as BM25 has it (Robertson and Zaragoza 2009).
    That was as good as frequencies in the whole collection and as lists of stop words, which not every language has. A
    passage counts by its cosine: by fused scores the best sentence was chosen less often.
    """
    asked = analyzer.words(query)
    said = [tuple(analyzer.words(sentence.text)) for sentence in sentences]
    sets = [frozenset(words) for words in said]
    weights = _weights(dict.fromkeys(asked), sets)
    pairs = set(pairwise(asked))
    before = _before(sentences)
    return [
        Evidence(
            sentence=sentence,
            said=words,
            words=_share(weights, found),
            pairs=len(pairs.intersection(pairwise(words))) / max(1, len(pairs)),
            joint=_share(weights, found if previous is None else found | sets[previous]),
            passage=min(1.0, max(0.0, sentence.passage.hit.scores["vector"])),
        )
        for sentence, words, found, previous in zip(sentences, said, sets, before, strict=True)
    ]


def _weights(asked: Collection[str], sentences: Sequence[Collection[str]]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in asked:
        having = sum(word in sentence for sentence in sentences)
        weights[word] = math.log(1 + (len(sentences) - having + 0.5) / (having + 0.5))
    return weights


def _share(weights: Mapping[str, float], found: Collection[str]) -> float:
    return sum(weight for word, weight in weights.items() if word in found) / (sum(weights.values()) or 1.0)


def _before(sentences: Sequence[Sentence]) -> list[int | None]:
    """For each the place of the sentence that stands before it in its document, as far as it is among these."""
    order = sorted(range(len(sentences)), key=lambda place: (sentences[place].document_id, sentences[place].start))
    before: list[int | None] = [None] * len(sentences)
    for first, second in pairwise(order):
        if sentences[first].document_id == sentences[second].document_id:
            before[second] = first
    return before
