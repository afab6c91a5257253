"""Collection: a store and the segments derived from it. Upsert, delete, search, seal, rebuild."""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from indexes.base import Chunk, Document, Hit, SearchParams, Vectors
from indexes.errors import DocumentNotFoundError, InvalidVectorError, StoreUnavailableError
from indexes.filters import Filter
from indexes.segment import Segment
from indexes.store import Change, Store, StoredChunk
from indexes.writer import GroupCommitWriter

Metric = Literal["cosine"]

# Memory follows a commit within microseconds; a search waits this long at most.
_CATCH_UP_S = 10.0
# Documents in one transaction: a commit of hundreds of megabytes would hold every other write up for many seconds.
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What makes a collection itself: vectors made otherwise cannot be compared with those in it.

    Attributes:
        embedding_model: served name of the embedder.
        fingerprint: of its weights and tokenizer.
        dimension: length of its vectors.
        chunk_size: longest chunk, in the embedder's tokens.
        chunk_overlap: tokens that neighbouring chunks share at most.
    """

    embedding_model: str
    fingerprint: str
    dimension: int
    chunk_size: int
    chunk_overlap: int
    metric: Metric = "cosine"

    def differences(self, other: "CollectionSpec") -> dict[str, tuple[object, object]]:
        """Field -> (mine, other's) where the two differ."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


@dataclass(frozen=True, slots=True)
class View:
    """What a search works on, swapped as one.

    Attributes:
        version: last version whose changes the segments hold.
        since: oldest version they can be searched at: a seal drops the rows that were dead by then.
    """

    segments: tuple[Segment, ...]
    version: int
    since: int = 0


@dataclass(frozen=True, slots=True)
class CollectionState:
    """A collection as an operator sees it; ``segments`` in the order of their rows."""

    documents: int
    chunks: int
    index_version: int
    seal_rows: int
    segments: Sequence[Mapping[str, object]]


class Collection:
    """One named set of documents. Every method may be called from any thread.

    Args:
        spec: identity.
        store: the truth; its vectors are read into segments here.
        writer: the thread that commits.
        seal_rows: rows after which a segment stops growing and waits to be sealed as IVF-PQ.
    """

    def __init__(self, spec: CollectionSpec, store: Store, writer: GroupCommitWriter, seal_rows: int) -> None:
        self.spec = spec
        self._store = store
        self._writer = writer
        self._seal_rows = seal_rows
        self._swap = threading.Condition()  # held by whoever replaces the view: a commit, or the end of a seal
        self._sealing = threading.Lock()
        self._view = View((Segment.growing(spec.dimension),), store.version())
        self._seq = itertools.count(store.last_seq() + 1)
        self._rebuild()

    @property
    def version(self) -> int:
        """Version a search that starts now is answered at."""
        return self._view.version

    def accept(self) -> int:
        """A sequence number for a write that is accepted now; of two writes to one id the later accepted one wins."""
        return next(self._seq)

    def put(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors, seq: int) -> Change:
        """Insert or replace a document; durable and visible to the next search when this returns.

        Args:
            vectors: ``(len(chunks), dimension)``.
            seq: from ``accept``.

        Raises:
            InvalidVectorError: ``vectors`` has another shape, or a component that is not finite.
            StoreUnavailableError: nothing was promised.
        """
        expected = (len(chunks), self.spec.dimension)
        if vectors.shape != expected:
            raise InvalidVectorError(f"vectors have the shape {vectors.shape}, not {expected}")
        if not np.isfinite(vectors).all():
            raise InvalidVectorError("vectors have components that are not finite")
        work = partial(self._store.put, document=document, chunks=chunks, vectors=vectors, seq=seq)
        return self._writer.write(self._store.database, work, self._apply)

    def confirm(self, document_id: str, content_hash: bytes, seq: int) -> bool:
        """True when the document already has this content; it then counts as written at ``seq``."""
        if self._store.content_hash(document_id) != content_hash:
            return False
        work = partial(self._store.confirm, document_id=document_id, content_hash=content_hash, seq=seq)
        return self._writer.write(self._store.database, work).outcome == "unchanged"

    def delete(self, document_id: str, seq: int) -> Change:
        """Remove a document; invisible to every search that starts after this returns."""
        work = partial(self._store.delete, document_id=document_id, seq=seq)
        return self._writer.write(self._store.database, work, self._apply)

    def delete_matching(self, filter: Filter, seq: int) -> tuple[int, int]:
        """Remove the documents that pass ``filter``; invisible to every search that starts after this returns.

        Many are removed in steps, between which others write; a search meanwhile may find those of the steps to come.

        Returns:
            How many there were, and the version without them.
        """
        rows, version = self._store.matching(filter)
        deleted = 0
        while len(rows) > _DELETED_AT_ONCE:
            step, rows = rows[:_DELETED_AT_ONCE], rows[_DELETED_AT_ONCE:]
            work = partial(self._store.delete_rows, documents=step, seq=seq)
            deleted += self._writer.write(self._store.database, work, self._apply).deleted
        work = partial(self._store.delete_matching, filter=filter, seq=seq, rows=rows, after=version)
        change = self._writer.write(self._store.database, work, self._apply)
        return deleted + change.deleted, change.version

    def document(self, document_id: str) -> Document:
        """The document with its text.

        Raises:
            DocumentNotFoundError: there is none of that id.
        """
        document = self._store.document(document_id)
        if document is None:
            raise DocumentNotFoundError(document_id)
        return document

    def documents(self, after: str, limit: int) -> list[tuple[str, str, str | None, dict[str, object]]]:
        """(id, title, url, metadata) of up to ``limit`` documents with an id above ``after``, by id."""
        return self._store.documents(after, limit)

    def search(self, query: Vectors, params: SearchParams) -> list[Hit]:
        """The ``top_k`` best chunks for a ``(dimension,)`` vector, best first.

        Raises:
            InvalidVectorError: the query has another shape, or a component that is not finite.
            StoreUnavailableError: the store cannot be read.
        """
        if query.shape != (self.spec.dimension,):
            raise InvalidVectorError(f"the query has the shape {query.shape}, not ({self.spec.dimension},)")
        if not np.isfinite(query).all():
            raise InvalidVectorError("the query has components that are not finite")
        while True:
            # Vectors and texts at one version: what is committed meanwhile neither hides a hit nor doubles it.
            with self._store.snapshot() as snapshot:
                view = self._view_at(snapshot.version)
                if view.since > snapshot.version:
                    continue  # a seal ended just now; a fresh snapshot is newer than it
                found = self._nearest(view, snapshot.version, query, params)
                stored = snapshot.chunks([row for row, _ in found])
            # Whatever an index claims, text that the store no longer has is never returned.
            return [_hit(stored[row], score) for row, score in found if row in stored]

    @property
    def needs_seal(self) -> bool:
        """A full segment is waiting to be sealed."""
        return any(segment.is_sealable for segment in self._view.segments[:-1])

    def seal(self) -> bool:
        """Build IVF-PQ over the oldest full segment while it goes on being searched exactly, then swap.

        Returns:
            Whether there was one.
        """
        with self._sealing:
            full = next((segment for segment in self._view.segments[:-1] if segment.is_sealable), None)
            if full is None:
                return False
            sealed, kept = full.sealed()
            with self._swap:
                sealed.take_deaths(full, kept)
                segments = tuple(sealed if segment is full else segment for segment in self._view.segments)
                self._view = replace(self._view, segments=segments, since=self._view.version)
            return True

    def describe(self) -> CollectionState:
        """Counts and the state of every segment, for the status page."""
        documents, chunks = self._store.counts()
        view = self._view
        segments = [{"tier": self._tier(segment, view), **segment.describe()} for segment in view.segments]
        return CollectionState(documents, chunks, view.version, self._seal_rows, segments)

    def _tier(self, segment: Segment, view: View) -> str:
        """How a segment is searched, and why."""
        if segment is view.segments[-1]:
            return f"growing: exact below {self._seal_rows} rows"
        if segment.is_sealable:
            return "full: exact until IVF-PQ is built"
        return "sealed" if segment.is_sealed else "full: exact, as too few rows live for IVF-PQ"

    def close(self) -> None:
        """Close the store; later calls raise StoreUnavailableError. On the writer thread, or after it has ended."""
        self._store.close()

    def _view_at(self, version: int) -> View:
        """The view, once it has followed the store to ``version``: a commit is on disk a moment before it is here."""
        view = self._view
        if view.version >= version:
            return view
        with self._swap:
            if not self._swap.wait_for(lambda: self._view.version >= version, timeout=_CATCH_UP_S):
                raise StoreUnavailableError(f"the index is at version {self._view.version}, the store at {version}")
            return self._view

    @staticmethod
    def _nearest(view: View, version: int, query: Vectors, params: SearchParams) -> list[tuple[int, float]]:
        """(row id, score) of the best rows over all segments that are visible at ``version``."""
        results = [segment.search(query, version, params) for segment in view.segments]
        scores = np.concatenate([scores for scores, _ in results])
        rows = np.concatenate([rows for _, rows in results])
        order = np.lexsort((rows, -scores))[: params.top_k]
        floor = -np.inf if params.score_threshold is None else params.score_threshold
        return [(int(rows[i]), float(scores[i])) for i in order if scores[i] >= floor]

    def _apply(self, change: Change) -> None:
        """Follow a committed change in memory; on the writer thread."""
        with self._swap:
            segments = self._view.segments
            if len(change.removed):
                for segment in segments:
                    segment.kill(change.removed, change.version)
            if change.vectors is not None:
                segments = self._grow(segments, change)
            self._view = replace(self._view, segments=segments, version=change.version)
            self._swap.notify_all()

    def _grow(self, segments: tuple[Segment, ...], change: Change) -> tuple[Segment, ...]:
        assert change.vectors is not None  # noqa: S101  narrows the type for the reader and the checker
        segments[-1].append(change.added, change.vectors, change.version)
        if segments[-1].rows >= self._seal_rows:
            return (*segments, Segment.growing(self.spec.dimension))
        return segments

    def _rebuild(self) -> None:
        """Read every stored vector into segments; full ones are searched exactly until they are sealed."""
        view = self._view
        for rows, _, vectors in self._store.scan(self.spec.dimension, block=min(self._seal_rows, 8192)):
            change = Change("created", view.version, added=rows, vectors=vectors)
            self._view = View(self._grow(self._view.segments, change), view.version)


def _hit(stored: StoredChunk, score: float) -> Hit:
    return Hit(chunk=stored.chunk, title=stored.title, url=stored.url, score=score, scores={"vector": score})
