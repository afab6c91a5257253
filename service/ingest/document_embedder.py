"""DocumentEmbedder: what a document comes to in a collection, its chunks and sentences and their vectors."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from indexes.base import Chunk, Document, Vectors
from indexes.quantised import Quantised
from indexes.sentence_vectors import SentenceVectors
from indexes.spec import CollectionSpec
from models.base import TextKind
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.embedders import Embedders
from service.ingest.chunking import Chunker
from service.ingest.cutting import Pieces, cut
from service.scheduling.job import Lane

# Texts of one document that are asked for together: enough to fill a batch, few beside the queue's bound.
_SLICE = 32
_SLICES_AHEAD = 2

# Texts that are embedded, and all that a document comes to: its chunks and their sentences.
Heard = Callable[[int, int], None]


def unheard(embedded: int, texts: int) -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Content:
    """Chunks with their ``(len(chunks), dimension)`` vectors, and the sentences of each; or none of all."""

    chunks: Sequence[Chunk]
    vectors: Vectors
    sentences: Sequence[SentenceVectors] = ()


class DocumentEmbedder:
    """Cuts and embeds documents in the bulk lane. A context manager that owns its threads.

    Args:
        with_sentences: sentences are embedded too.
    """

    def __init__(self, embedders: Embedders, *, with_sentences: bool) -> None:
        self._embedders = embedders
        self._with_sentences = with_sentences
        # Cutting counts tokens in Python and fights the event loop for the GIL: one thread, and another so that a long
        # document does not hold up short ones.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="quarry-cutting")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def content(
        self, document: Document, spec: CollectionSpec, caller: str = "", heard: Heard = unheard
    ) -> Content:
        """What ``document`` comes to in a collection of that identity.

        Args:
            caller: whose share of the device its vectors count against.
            heard: called on the event loop as it gets on.

        Raises:
            ModelNotServedError: the collection's embedder is not among those of this server.
            OverloadedError, EmbedderUnavailableError: as ``EmbeddingBatcher.embed``.
        """
        embedder = self._embedders.that_made(spec.fingerprint)
        chunker = Chunker(embedder.count_tokens, spec.chunk_size, spec.chunk_overlap, embedder.info.max_tokens)
        language = spec.language if self._with_sentences else None
        cutting = partial(cut, chunker, document, language)
        pieces = await asyncio.get_running_loop().run_in_executor(self._threads, cutting)
        return await _embedded(pieces, embedder, caller, heard)


async def _embedded(pieces: Pieces, embedder: EmbeddingBatcher, caller: str, heard: Heard) -> Content:
    """Vectors of sentences are quantised as they come: a long document has many."""
    dimension = embedder.info.dimension
    slices = [*_sliced(pieces.texts), *_sliced(pieces.sentence_texts)]
    vectors, quantised = [np.empty((0, dimension), dtype=np.float32)], []
    embedded, texts = 0, len(pieces.texts) + len(pieces.sentence_texts)
    heard(embedded, texts)
    async with aclosing(_blocks(embedder, slices, caller)) as blocks:
        async for block in blocks:
            if embedded < len(pieces.texts):
                vectors.append(block)
            else:
                quantised.append(Quantised.of(block))
            embedded += len(block)
            heard(embedded, texts)
    return Content(pieces.chunks, np.concatenate(vectors), pieces.sentences(Quantised.joined(quantised, dimension)))


def _sliced(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[first : first + _SLICE] for first in range(0, len(texts), _SLICE)]


async def _blocks(
    embedder: EmbeddingBatcher, slices: Sequence[Sequence[str]], caller: str
) -> AsyncGenerator[Vectors, None]:
    """Of slices in order; while the device computes one, the next waits for it, tokenized."""
    ahead: deque[asyncio.Task[Embedded]] = deque()
    try:
        for texts in slices:
            if len(ahead) == _SLICES_AHEAD:
                yield (await ahead.popleft()).vectors
            part = embedder.embed(texts, TextKind.DOCUMENT, Lane.BULK, Asker(caller))
            ahead.append(asyncio.create_task(part))
        while ahead:
            yield (await ahead.popleft()).vectors
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
