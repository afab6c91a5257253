"""Ingestor: a document's way from text to durable, searchable chunks."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self, TypeVar

import orjson

from indexes.base import Document, TextFormat
from indexes.collection import Collection
from indexes.errors import CollectionNotFoundError
from indexes.filters import Filter
from indexes.names import check_document_id
from indexes.reembeddings import Route
from service.backlog import Backlog, BacklogLimits
from service.errors import EmptyDocumentError, ForbiddenError, InvalidRequestError, QuarryError
from service.ingest.document_embedder import Content, DocumentEmbedder, Heard, unheard
from service.ingest.fair_slots import FairSlots
from service.ingest.mirror import Mirror, MovedError
from service.ingest.place import Place
from service.ingest.places import Claim
from service.ingest.writer import NOBODY, Writer
from service.library import CollectionOptions, Library
from service.limit_settings import LimitSettings
from service.telemetry.metrics import Metrics

# Part of every content hash: raise it when equal input would give other chunks or vectors.
PIPELINE_VERSION = 1

_CONCURRENT_DOCUMENTS = 8
_MAX_WAITING_DOCUMENTS = 4096
# Some hundred chunks: a longer document has its place for seconds, and may have it for minutes.
_LARGE_CHARACTERS = 1 << 16
_RUN = re.compile("(?:javascript|data|vbscript):", re.IGNORECASE)
_PASSED_OVER = re.compile(r"[\0-\x20]+")  # by browsers, before a scheme and some of it within

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
    source_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    Attributes:
        is_superseded: a write that was accepted later had been applied already, and stays.
    """

    id: str
    status: WriteStatus
    index_version: int
    is_superseded: bool = False


@dataclass(frozen=True, slots=True)
class AcceptedWrite:
    """A write to a collection, with its place in the order of writes.

    Attributes:
        is_patient: of a job, which waits as long as it must: no request is refused for it.
        heard: see ``DocumentEmbedder.content``.
    """

    collection: str
    document: Document
    place: Place
    writer: Writer = NOBODY
    is_patient: bool = False
    heard: Heard = unheard

    @property
    def claim(self) -> Claim:
        """To a place among those that are written at a time."""
        return Claim(self.writer.caller, len(self.document.text) > _LARGE_CHARACTERS)


class Ingestor:
    """Checks, chunks, embeds and stores documents; deletes them. A context manager that owns its threads.

    Args:
        on_write: called with a collection after every change of it.
    """

    def __init__(
        self,
        library: Library,
        documents: DocumentEmbedder,
        mirror: Mirror,
        limits: LimitSettings,
        metrics: Metrics,
        on_write: Callable[[Collection], None],
    ) -> None:
        self._library = library
        self._documents = documents
        self._mirror = mirror
        self._limits = limits
        self._metrics = metrics
        self._on_write = on_write
        # Writes only wait, and more of them at a time share one fsync.
        self._writing = ThreadPoolExecutor(_CONCURRENT_DOCUMENTS, thread_name_prefix="quarry-writing")
        self._slots = FairSlots(_CONCURRENT_DOCUMENTS)
        wait_s = limits.write_wait_ms / 1000
        self._backlog = Backlog("documents", BacklogLimits(_CONCURRENT_DOCUMENTS, _MAX_WAITING_DOCUMENTS, wait_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writing.shutdown()

    def check_wait(self, caller: str) -> None:
        """Look whether a caller who waits for a document may send it.

        Raises:
            OverloadedError: it would take too long.
        """
        self._backlog.check(caller)

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
        if document.url is not None and (scheme := _RUN.match(_PASSED_OVER.sub("", document.url))):
            raise InvalidRequestError(
                f"url has the scheme {scheme[0].casefold()}, whose links may run what follows it", param="url"
            )
        if not document.text.strip():
            raise EmptyDocumentError(f"document {document.id!r} has no text")
        return _stored_form(document)

    async def open(self, name: str) -> Route:
        """Where to write to, created if there is nothing of that name.

        Raises:
            InvalidNameError: the name.
            CollectionConflictError: the collection was made by another embedder.
        """
        try:
            self._library.get(name)
        except CollectionNotFoundError:
            await self._in_thread(partial(self._library.ensure, name, CollectionOptions()))
        return self._mirror.route(name)

    def place(self, route: Route) -> Place:
        """The next place in the order of writes."""
        return self._mirror.accept(route.name)

    def accept(self, route: Route, document: Document, writer: Writer = NOBODY) -> AcceptedWrite:
        """Give a prepared document its place in the order of writes.

        Raises:
            ForbiddenError: it would not exist for the writer.
            OverloadedError: too many documents wait already.
        """
        writer.check(document.metadata)
        self._backlog.check_count()
        return AcceptedWrite(route.name, document, self._mirror.accept(route.name), writer)

    async def confirm_source(self, route: Route, document_id: str, source_hash: bytes, place: Place) -> Written | None:
        """``unchanged`` where the document was made of this very file; None where it was not, and is to be put.

        Raises:
            StoreUnavailableError: nothing was promised.
        """
        confirm = self._mirror.confirm_source
        while True:
            with suppress(MovedError):
                if not await self._in_thread(partial(confirm, route, document_id, source_hash, place)):
                    return None
                self._metrics.documents.labels("unchanged").inc()
                return Written(document_id, "unchanged", route.primary.version)
            route = self._mirror.route(route.name)

    async def version(self, name: str) -> int:
        """Of the collection now.

        Raises:
            CollectionNotFoundError: there is none of that name.
        """
        return self._mirror.route(name).primary.version

    async def is_overtaken(self, name: str, document_id: str, metadata: Mapping[str, Any], place: Place) -> bool:
        """As ``Mirror.is_overtaken``, by where the name leads now."""
        route = self._mirror.route(name)
        return await self._in_thread(partial(self._mirror.is_overtaken, route, document_id, metadata, place))

    async def put(self, write: AcceptedWrite) -> Written:
        """Chunk, embed and store; durable and searchable when this returns.

        Raises:
            EmbedderUnavailableError, StoreUnavailableError: nothing was stored, or nothing was promised.
            ForbiddenError: it would not exist for the writer, or what it would replace does not.
        """
        write.writer.check(write.document.metadata)
        with nullcontext() if write.is_patient else self._backlog.joined(write.writer.caller):
            async with self._slots.taken(write.claim, "job" if write.is_patient else "request"):
                written = await self._put(write)
        self._metrics.documents.labels(written.status).inc()
        return written

    async def delete(self, name: str, document_id: str, guard: Filter | None = None) -> tuple[bool, int]:
        """Delete a document that passes ``guard``; invisible to every search that starts after this returns.

        Returns:
            Whether there was one, and the collection's version without it.
        """
        check_document_id(document_id)
        route = self._mirror.route(name)
        place = self._mirror.accept(route.name)
        while True:
            with suppress(MovedError):
                change = await self._in_thread(partial(self._mirror.delete, route, document_id, place, guard))
                break
            route = self._mirror.route(name)
        self._metrics.documents.labels(change.outcome).inc()
        return change.outcome == "deleted", change.version

    async def delete_matching(self, name: str, filter: Filter) -> tuple[int, int]:
        """Delete the documents whose metadata passes; invisible to every search that starts after this returns.

        Returns:
            How many there were, and the collection's version without them.
        """
        route = self._mirror.route(name)
        place = self._mirror.accept(route.name)
        while True:
            with suppress(MovedError):
                work = partial(self._mirror.delete_matching, route, filter, place)
                deleted, version = await self._in_thread(work)
                break
            route = self._mirror.route(name)
        self._metrics.documents.labels("deleted").inc(deleted)
        return deleted, version

    async def _put(self, write: AcceptedWrite) -> Written:
        contents: dict[Collection, Content | Exception] = {}
        while True:
            with suppress(MovedError):  # what is embedded by then is kept for the next round
                return await self._written(write, self._mirror.route(write.collection), contents)

    async def _written(
        self, write: AcceptedWrite, route: Route, contents: dict[Collection, Content | Exception]
    ) -> Written:
        document = write.document
        if await self._in_thread(partial(self._mirror.confirm, route, document, write.place)):
            return Written(document.id, "unchanged", route.primary.version)
        for collection in route.collections:
            if not isinstance(contents.get(collection), Content):
                contents[collection] = await self._content(write, collection, is_primary=collection is route.primary)
        put = partial(self._mirror.put, route, document, contents, write.place, write.writer.guard)
        change = await self._to_its_end(put)
        if change.outcome == "hidden":
            raise ForbiddenError(f"a document {document.id!r} is there that this key may not replace")
        for collection in route.collections:
            self._on_write(collection)
        # A write that a later one has overtaken was durable for no time at all: to its caller it happened before it.
        status: WriteStatus = "created" if change.outcome == "created" else "updated"
        return Written(document.id, status, change.version, change.outcome == "superseded")

    async def _content(self, write: AcceptedWrite, collection: Collection, *, is_primary: bool) -> Content | Exception:
        try:
            heard = write.heard if is_primary else unheard
            return await self._documents.content(write.document, collection.spec, write.writer.caller, heard)
        except QuarryError as error:
            if is_primary:
                raise
            return error  # which costs the mirror this write, and nobody else

    async def _to_its_end(self, commit: Callable[[], T]) -> T:
        """A commit cannot be called back: whoever is cancelled meanwhile still hears how it ended."""
        committing = asyncio.ensure_future(self._in_thread(commit))
        while not committing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({committing})
        return committing.result()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, call)


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
        document.id,
        document.title,
        document.text,
        document.metadata,
        document.url,
        document.format,
        content_hash,
        document.source_hash,
    )
