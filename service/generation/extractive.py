"""The generator without a language model: it quotes the sentences that answer best."""

import math
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import numpy as np
import sentencex

from service.generation.base import (
    Cited,
    Delta,
    Event,
    Expectation,
    Finished,
    GenerationRequest,
    LlmCall,
    Passage,
    Turn,
)

_PASSAGES = 4
_CANDIDATES = 12
_SENTENCES = 3
_MIN_WORDS = 4
# Weight of shared words beside the cosine, and how near to the best sentence another must come to be quoted too.
_LEXICAL_WEIGHT = 0.4
_NEAR = 0.85
_BLOCK_START = re.compile(r"(?<=\n)(?=[ \t]*(?:[-*+|>]|\d+[.)])[ \t]| {4}|\t|[ \t]*\n)")
_LEADING_MARKUP = re.compile(r"^(?:[-*+>_]+\s*)+")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage: ``text == document.text[start:end]``."""

    passage: Passage
    text: str
    start: int

    @property
    def end(self) -> int:
        """Offset in the document after its last character."""
        return self.start + len(self.text)

    def words(self) -> set[str]:
        """Case-folded words."""
        return _words(self.text)


class ExtractiveGenerator:
    """Quotes one to three sentences in document order, each with the citation of exactly that sentence.

    Args:
        min_score: below this cosine between question and best sentence it abstains.
    """

    def __init__(self, min_score: float) -> None:
        self._min_score = min_score

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events; ``temperature`` and ``max_tokens`` have no meaning here."""
        chosen = await self._chosen(request)
        written = 0
        for sentence in chosen:
            quoted, marker = f"{' ' if written else ''}{sentence.text} ", f"[{sentence.passage.number}]"
            start = written + len(quoted)
            written = start + len(marker)
            yield Delta(quoted + marker)
            yield Cited(sentence.passage.number, sentence.start, sentence.end, start, written)
        yield Finished("stop", abstained=not chosen)

    @property
    def trouble(self) -> str | None:
        """None ever."""
        return None

    def expect(self) -> Expectation | None:
        """Nothing is known of what it takes."""
        return None

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        """The question as it is: nothing here could write another."""
        return question

    async def start(self) -> None:
        """Nothing to watch."""

    def describe(self) -> dict[str, object]:
        """Always ready."""
        return {"kind": "extractive", "state": "ready"}

    async def close(self) -> None:
        """Nothing to release."""

    async def _chosen(self, request: GenerationRequest) -> list[Sentence]:
        found = [sentence for passage in request.passages[:_PASSAGES] for sentence in sentences_of(passage)]
        sentences = list({sentence.text: sentence for sentence in reversed(found)}.values())[::-1]
        overlaps = _overlaps(request.question, sentences)
        # A passage's first sentences come first among equals: its rank says more than nothing.
        order = sorted(range(len(sentences)), key=lambda i: -overlaps[i])[:_CANDIDATES]
        if not order:
            return []
        async with request.call.deadline.enforced("llm"):
            vectors = await request.embed([sentences[i].text for i in order])
        cosines = vectors @ request.question_vector
        if float(cosines.max()) < self._min_score:
            return []
        scores = cosines + _LEXICAL_WEIGHT * np.array([overlaps[i] for i in order])
        best = sorted(range(len(order)), key=lambda i: -scores[i])[:_SENTENCES]
        near = [sentences[order[i]] for i in best if scores[i] >= _NEAR * scores[best[0]]]
        return sorted(near, key=lambda sentence: (sentence.passage.number, sentence.start))


def sentences_of(passage: Passage) -> list[Sentence]:
    """Sentences of a passage that could stand in an answer: no headings, no fragments.

    An item of a list, a row of a table and a line of a listing are never joined with their neighbours.
    """
    chunk = passage.hit.chunk
    sentences, start = [], chunk.start
    for block in _BLOCK_START.split(chunk.text):
        for piece in sentencex.segment("en", block):
            text = _LEADING_MARKUP.sub("", piece.strip())
            if len(_WORD.findall(text)) >= _MIN_WORDS and not text.startswith(("#", "```")):
                sentences.append(Sentence(passage, text, start + piece.index(text)))
            start += len(piece)
    return sentences


def _overlaps(question: str, sentences: Sequence[Sentence]) -> list[float]:
    """Share of the question's words in each sentence, rare words weighing more (inverse document frequency)."""
    asked = _words(question)
    found = [asked & sentence.words() for sentence in sentences]
    weights = {
        word: math.log(1 + len(sentences) / count) for word in asked if (count := sum(word in words for words in found))
    }
    total = sum(weights.values()) or 1.0
    return [sum(weights[word] for word in words) / total for words in found]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
