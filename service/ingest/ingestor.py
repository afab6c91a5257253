"""Ingestor: a document's way from text to durable, searchable chunks."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self, TypeVar

import numpy as np
import orjson

from indexes.base import Chunk, Document, TextFormat, Vectors
from indexes.collection import Collection
from indexes.errors import CollectionNotFoundError
from indexes.filters import Filter
from indexes.names import check_document_id
from models.base import TextKind
from service.batching import Asker, EmbeddingBatcher
from service.embedders import Embedders
from service.errors import EmptyDocumentError, InvalidRequestError, OverloadedError
from service.ingest.chunking import Chunker
from service.library import CollectionOptions, Library
from service.scheduling.job import Lane
from service.settings import LimitSettings
from service.telemetry.metrics import Metrics

# Part of every content hash: raise it when equal input would give other chunks or vectors.
PIPELINE_VERSION = 1

_CONCURRENT_DOCUMENTS = 8
_MAX_WAITING_DOCUMENTS = 4096
_RETRY_AFTER_S = 5.0
# Chunks of one document that wait for the device at a time: enough to fill a batch, few beside the queue's bound.
_SLICE = 32

T = TypeVar("T")
WriteStatus = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as a caller sends it."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None
    format: TextFormat = "markdown"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write."""

    id: str
    status: WriteStatus
    index_version: int


@dataclass(frozen=True, slots=True)
class AcceptedWrite:
    """A write with its place in the order of writes."""

    collection: Collection
    document: Document
    seq: int
    caller: str = ""


class Ingestor:
    """Checks, chunks, embeds and stores documents; deletes them. A context manager that owns its threads.

    Args:
        on_write: called with the collection after every change of it.
    """

    def __init__(
        self,
        library: Library,
        embedders: Embedders,
        limits: LimitSettings,
        metrics: Metrics,
        on_write: Callable[[Collection], None],
    ) -> None:
        self._library = library
        self._embedders = embedders
        self._limits = limits
        self._metrics = metrics
        self._on_write = on_write
        # Cutting counts tokens in Python and fights the event loop for the GIL: one thread, and another so that a long
        # document does not hold up short ones. Writes only wait, and more of them at a time share one fsync.
        self._cutting = ThreadPoolExecutor(2, thread_name_prefix="quarry-cutting")
        self._writing = ThreadPoolExecutor(_CONCURRENT_DOCUMENTS, thread_name_prefix="quarry-writing")
        self._slots = asyncio.Semaphore(_CONCURRENT_DOCUMENTS)
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cutting.shutdown(cancel_futures=True)
        self._writing.shutdown()

    def prepare(self, document: NewDocument) -> Document:
        """Check a document and give it the form in which it is stored. Thread-safe.

        Raises:
            InvalidNameError, InvalidRequestError, EmptyDocumentError: naming the value and the limit.
        """
        check_document_id(document.id)
        limit = self._limits.document_characters
        for name, value in (("text", document.text), ("title", document.title), ("url", document.url or "")):
            if len(value) > limit:
                raise InvalidRequestError(f"{name} has {len(value)} characters; the limit is {limit}", param=name)
            if "\0" in value:
                raise InvalidRequestError(f"{name} has a NUL character at offset {value.index(chr(0))}", param=name)
        if not document.text.strip():
            raise EmptyDocumentError(f"document {document.id!r} has no text")
        return _stored_form(document)

    async def open(self, name: str) -> Collection:
        """The collection to write to, created if there is none.

        Raises:
            InvalidNameError: the name.
            CollectionConflictError: the collection was made by another embedder.
        """
        try:
            return self._library.get(name)
        except CollectionNotFoundError:
            create = partial(self._library.ensure, name, CollectionOptions())
            collection, _ = await self._in(self._writing, create)
            return collection

    def accept(self, collection: Collection, document: Document, caller: str = "") -> AcceptedWrite:
        """Give a prepared document its place in the order of writes.

        Args:
            caller: whose share of the device its vectors count against.

        Raises:
            OverloadedError: too many documents wait already.
        """
        if self._waiting >= _MAX_WAITING_DOCUMENTS:
            raise OverloadedError(
                f"{self._waiting} documents wait to be ingested; the limit is {_MAX_WAITING_DOCUMENTS}", _RETRY_AFTER_S
            )
        return AcceptedWrite(collection, document, collection.accept(), caller)

    async def put(self, write: AcceptedWrite) -> Written:
        """Chunk, embed and store; durable and searchable when this returns.

        Raises:
            EmbedderUnavailableError, StoreUnavailableError: nothing was stored, or nothing was promised.
        """
        self._waiting += 1
        try:
            async with self._slots:
                written = await self._put(write)
        finally:
            self._waiting -= 1
        self._metrics.documents.labels(written.status).inc()
        return written

    async def delete(self, collection: Collection, document_id: str) -> tuple[bool, int]:
        """Delete a document; invisible to every search that starts after this returns.

        Returns:
            Whether there was one, and the collection's version without it.
        """
        check_document_id(document_id)
        seq = collection.accept()
        change = await self._in(self._writing, partial(collection.delete, document_id, seq))
        self._metrics.documents.labels(change.outcome).inc()
        return change.outcome == "deleted", change.version

    async def delete_matching(self, collection: Collection, filter: Filter) -> tuple[int, int]:
        """Delete the documents whose metadata passes; invisible to every search that starts after this returns.

        Returns:
            How many there were, and the collection's version without them.
        """
        seq = collection.accept()
        deleted, version = await self._in(self._writing, partial(collection.delete_matching, filter, seq))
        self._metrics.documents.labels("deleted").inc(deleted)
        return deleted, version

    async def _put(self, write: AcceptedWrite) -> Written:
        collection, document, seq = write.collection, write.document, write.seq
        confirm = partial(collection.confirm, document.id, document.content_hash, seq)
        if await self._in(self._writing, confirm):
            return Written(document.id, "unchanged", collection.version)
        spec = collection.spec
        embedder = self._embedders.that_made(spec.fingerprint)
        chunker = Chunker(embedder.count_tokens, spec.chunk_size, spec.chunk_overlap, embedder.info.max_tokens)
        chunks, texts = await self._in(self._cutting, partial(_cut, chunker, document))
        vectors = await _vectors(embedder, texts, caller=write.caller)
        change = await self._in(self._writing, partial(collection.put, document, chunks, vectors, seq))
        self._on_write(collection)
        # A write that a later one has overtaken was durable for no time at all: to its caller it happened before it.
        status: WriteStatus = "created" if change.outcome == "created" else "updated"
        return Written(document.id, status, change.version)

    @staticmethod
    async def _in(threads: Executor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


async def _vectors(embedder: EmbeddingBatcher, texts: Sequence[str], caller: str) -> Vectors:
    blocks = [np.empty((0, embedder.info.dimension), dtype=np.float32)]
    for first in range(0, len(texts), _SLICE):
        part = texts[first : first + _SLICE]
        embedded = await embedder.embed(part, TextKind.DOCUMENT, Lane.BULK, Asker(caller))
        blocks.append(embedded.vectors)
    return np.concatenate(blocks)


def _cut(chunker: Chunker, document: Document) -> tuple[list[Chunk], list[str]]:
    """Chunks, and what their vectors are made of."""
    chunks = chunker.chunks(document)
    return chunks, [chunker.embedded_text(document, chunk) for chunk in chunks]


def _stored_form(document: NewDocument) -> Document:
    identity = [
        PIPELINE_VERSION,
        document.title,
        document.text,
        document.url,
        document.format,
        dict(document.metadata),
    ]
    content_hash = hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).digest()
    return Document(
        document.id, document.title, document.text, document.metadata, document.url, document.format, content_hash
    )
