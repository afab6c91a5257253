"""The generator without a language model: it quotes the sentences that answer best."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial

from indexes.analysis import Analyzer
from service.generation.base import (
    Cited,
    Delta,
    Event,
    Expectation,
    Finished,
    GenerationRequest,
    LlmCall,
    Sentence,
    Turn,
)
from service.generation.confidence import confidence_in
from service.generation.evidence import Evidence, evidence_for
from service.generation.quotes import chosen

# Sentences without a stored vector that are embedded while somebody waits: 43 to 60 ms for 15 on two cores.
_EMBEDDED_AT_MOST = 12


class ExtractiveGenerator:
    """Quotes one to three sentences in document order, each with the citation of exactly that sentence."""

    def __init__(self) -> None:
        self._analyzers: dict[str, Analyzer] = {}  # by language, of which there are few

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events; ``temperature`` and ``max_tokens`` have no meaning here."""
        async with request.call.deadline.enforced("llm"):
            ranked = await self._ranked(request)
        confidence = round(confidence_in(ranked[0]), 4) if ranked else 0.0  # what is told is what decides
        quoted = chosen(ranked) if confidence >= request.min_confidence else []
        written = 0
        for one in quoted:
            sentence = one.sentence
            text, marker = f"{' ' if written else ''}{sentence.text} ", f"[{sentence.passage.number}]"
            start = written + len(text)
            written = start + len(marker)
            yield Delta(text + marker)
            score = round(one.score, 4)
            yield Cited(sentence.passage.number, sentence.start, sentence.end, start, written, score)
        yield Finished("stop", abstained=not quoted, confidence=confidence)

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

    async def _ranked(self, request: GenerationRequest) -> list[Evidence]:
        """The sentences whose cosine is known, best first; a passage's first sentences come first among equals."""
        sentences = await request.sentences.of(request.passages)
        found = list({_place(sentence): sentence for sentence in reversed(sentences)}.values())[::-1]
        weigh = partial(evidence_for, request.sentences.query, found, self._analyzer(request.sentences.language))
        weighed = await asyncio.to_thread(weigh)  # long passages have many words
        bare = [one for one in weighed if one.sentence.cosine is None]
        if bare:
            hopeful = sorted(bare, key=lambda one: -one.without_vector)[:_EMBEDDED_AT_MOST]
            compared = await request.sentences.compared([one.sentence for one in hopeful])
            known = {_place(sentence): sentence for sentence in compared}
            weighed = [replace(one, sentence=known.get(_place(one.sentence), one.sentence)) for one in weighed]
        return sorted((one for one in weighed if one.sentence.cosine is not None), key=lambda one: -one.score)

    def _analyzer(self, language: str) -> Analyzer:
        if language not in self._analyzers:
            self._analyzers[language] = Analyzer(language)
        return self._analyzers[language]


def _place(sentence: Sentence) -> tuple[str, int, int]:
    """What passages that overlap have in common is one sentence."""
    return sentence.document_id, sentence.start, sentence.end
