"""PassageSentences: what may be quoted of one question's passages, read from the store or embedded now."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from indexes.errors import StoreUnavailableError
from indexes.quantised import Quantised
from indexes.sentence_vectors import SentenceVectors
from indexes.surroundings import ChunkSpan
from models.base import TextKind
from service.batching import Asker, EmbeddingBatcher
from service.generation.base import Passage, Sentence
from service.ingest.chunking import Chunker
from service.question import Question, Retrieval
from service.scheduling.job import Lane
from service.sentences import spans_of

_log = logging.getLogger("quarry.passage_sentences")


@dataclass(frozen=True, slots=True)
class PassageSentences:
    """The sentences of a retrieval's passages.

    Attributes:
        embedder: that made the collection's vectors.
        readers: threads that may read a store.
    """

    question: Question
    retrieval: Retrieval
    embedder: EmbeddingBatcher
    readers: Executor

    @property
    def query(self) -> str:
        """As ``Sentences.query``."""
        return self.retrieval.text

    @property
    def language(self) -> str:
        """As ``Sentences.language``."""
        return self.retrieval.collection.spec.language

    async def of(self, passages: Sequence[Passage]) -> Sequence[Sentence]:
        """As ``Sentences.of``: one read for all passages, on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, self._of, passages)

    async def compared(self, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        """As ``Sentences.compared``: in the query lane, as somebody waits for the answer."""
        texts = await asyncio.get_running_loop().run_in_executor(self.readers, self._embedded_texts, sentences)
        asker = Asker(self.question.caller, self.question.deadline)
        embedded = await self.embedder.embed(texts, TextKind.DOCUMENT, Lane.QUERY, asker)
        cosines = Quantised.of(embedded.vectors).cosines(self.retrieval.vector).tolist()  # as those that are stored
        return [replace(sentence, cosine=cosine) for sentence, cosine in zip(sentences, cosines, strict=True)]

    def _of(self, passages: Sequence[Passage]) -> list[Sentence]:
        stored = self._stored([chunk.row for passage in passages for chunk in passage.chunks])
        found: list[Sentence] = []
        for passage in passages:
            for chunk in passage.chunks:
                sentences = stored.get(chunk.row)
                found += self._cut(passage, chunk) if sentences is None else self._read(passage, sentences)
        return found

    def _stored(self, rows: Sequence[int]) -> Mapping[int, SentenceVectors]:
        """By chunk row. Where the store cannot be read the texts are still at hand, and can be embedded."""
        try:
            return self.retrieval.collection.sentences_of(rows)
        except StoreUnavailableError as error:
            _log.warning("sentences are embedded again: %s", error)
            return {}

    def _read(self, passage: Passage, stored: SentenceVectors) -> list[Sentence]:
        cosines = stored.vectors.cosines(self.retrieval.vector).tolist()
        return [
            Sentence(passage, start, end, cosine) for (start, end), cosine in zip(stored.spans, cosines, strict=True)
        ]

    def _cut(self, passage: Passage, chunk: ChunkSpan) -> list[Sentence]:
        first = passage.hit.chunk.start
        text = passage.hit.chunk.text[chunk.start - first : chunk.end - first]
        return [Sentence(passage, *span) for span in spans_of(text, chunk.start, self.language)]

    def _embedded_texts(self, sentences: Sequence[Sentence]) -> list[str]:
        """As they are made at ingest: title and headings before each."""
        spec, info = self.retrieval.collection.spec, self.embedder.info
        chunker = Chunker(self.embedder.count_tokens, spec.chunk_size, spec.chunk_overlap, info.max_tokens)
        hits = {sentence.passage.number: sentence.passage.hit for sentence in sentences}
        contexts = {number: chunker.context(hit.title, hit.chunk.heading_path) for number, hit in hits.items()}
        return [f"{contexts[sentence.passage.number]}{sentence.text}" for sentence in sentences]
