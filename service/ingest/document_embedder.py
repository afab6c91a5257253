"""DocumentEmbedder: what a document comes to in a collection, its chunks and their vectors."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from indexes.base import Chunk, Document, Vectors
from indexes.spec import CollectionSpec
from models.base import TextKind
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.embedders import Embedders
from service.ingest.chunking import Chunker
from service.scheduling.job import Lane

# Chunks of one document that are asked for together: enough to fill a batch, few beside the queue's bound.
_SLICE = 32
_SLICES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Content:
    """Chunks with their ``(len(chunks), dimension)`` vectors."""

    chunks: Sequence[Chunk]
    vectors: Vectors


class DocumentEmbedder:
    """Cuts and embeds documents in the bulk lane. A context manager that owns its threads."""

    def __init__(self, embedders: Embedders) -> None:
        self._embedders = embedders
        # Cutting counts tokens in Python and fights the event loop for the GIL: one thread, and another so that a long
        # document does not hold up short ones.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="quarry-cutting")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def content(self, document: Document, spec: CollectionSpec, caller: str = "") -> Content:
        """What ``document`` comes to in a collection of that identity.

        Args:
            caller: whose share of the device its vectors count against.

        Raises:
            ModelNotServedError: the collection's embedder is not among those of this server.
            OverloadedError, EmbedderUnavailableError: as ``EmbeddingBatcher.embed``.
        """
        embedder = self._embedders.that_made(spec.fingerprint)
        chunker = Chunker(embedder.count_tokens, spec.chunk_size, spec.chunk_overlap, embedder.info.max_tokens)
        cut = partial(_cut, chunker, document)
        chunks, texts = await asyncio.get_running_loop().run_in_executor(self._threads, cut)
        return Content(chunks, await _vectors(embedder, texts, caller))


async def _vectors(embedder: EmbeddingBatcher, texts: Sequence[str], caller: str) -> Vectors:
    """Of slices in order; while the device computes one, the next waits for it, tokenized."""
    blocks = [np.empty((0, embedder.info.dimension), dtype=np.float32)]
    ahead: deque[asyncio.Task[Embedded]] = deque()
    try:
        for first in range(0, len(texts), _SLICE):
            if len(ahead) == _SLICES_AHEAD:
                blocks.append((await ahead.popleft()).vectors)
            part = embedder.embed(texts[first : first + _SLICE], TextKind.DOCUMENT, Lane.BULK, Asker(caller))
            ahead.append(asyncio.create_task(part))
        while ahead:
            blocks.append((await ahead.popleft()).vectors)
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
    return np.concatenate(blocks)


def _cut(chunker: Chunker, document: Document) -> tuple[list[Chunk], list[str]]:
    """Chunks, and what their vectors are made of."""
    chunks = chunker.chunks(document)
    return chunks, [chunker.embedded_text(document, chunk) for chunk in chunks]
