"""StoredCollection: what a collection has in its store, and the order of writes; how it is searched is another's."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from indexes.base import Chunk, Document, Hit, SearchParams, Vectors
from indexes.document_rows import Entry
from indexes.erasure import needles_in
from indexes.errors import DocumentNotFoundError, InvalidVectorError
from indexes.filters import Filter
from indexes.guard import Work, guarded
from indexes.operations import check_storable
from indexes.recheck import Recheck
from indexes.searched import Searched
from indexes.sentence_vectors import SentenceVectors, check_sentences
from indexes.spec import CollectionSpec
from indexes.store import Change, Store
from indexes.store_snapshot import StoredChunk
from indexes.surroundings import Surroundings, surroundings
from indexes.vector_check import checked
from indexes.writer import GroupCommitWriter

# Documents in one transaction: a commit of hundreds of megabytes would hold every other write up for many seconds.
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Added:
    """A document that is about to be put, with ``(len(chunks), dimension)`` vectors as they will be stored."""

    document: Document
    chunks: Sequence[Chunk]
    vectors: Vectors


class StoredCollection(ABC):
    """One named set of documents. Every method may be called from any thread.

    Args:
        spec: identity.
        store: the truth.
        writer: the thread that commits.
    """

    def __init__(self, spec: CollectionSpec, store: Store, writer: GroupCommitWriter) -> None:
        self.spec = spec
        self._store = store
        self._writer = writer
        self._last_seq = store.last_seq()
        self._numbering = threading.Lock()

    @abstractmethod
    def _commit(self, work: Work, added: Added | None = None) -> Change:
        """Have the writer do the work; visible to every search that starts after this returns.

        Raises:
            StoreUnavailableError: nothing was promised.
        """

    @abstractmethod
    def _note(self, work: Work) -> Change:
        """Have the writer do work that neither adds nor removes a row, on what is as visible as after ``_commit``."""

    @abstractmethod
    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """The ``top_k`` best chunks for a ``(dimension,)`` vector, best first, and how they were found.

        Raises:
            InvalidVectorError: the query has another shape, a component that is not finite, or is all zeros.
            StoreUnavailableError: the store cannot be read.
        """

    @abstractmethod
    def living(self, rows: Sequence[int]) -> set[int]:
        """Those of the chunk rows, as hits have them, that no commit has removed.

        Raises:
            StoreUnavailableError: nobody can tell, as the collection is closed or its store cannot be read.
        """

    @property
    def identity(self) -> str:
        """Unlike a name never given to another collection; the same after a restart."""
        return self._store.database.path.parent.name

    def accept(self) -> int:
        """A sequence number for a write that is accepted now; of two writes to one id the later accepted one wins."""
        with self._numbering:
            self._last_seq += 1
            return self._last_seq

    def go_on_above(self, seq: int) -> None:
        """Give out no number up to ``seq`` any more: it belongs to a write that was accepted before a restart."""
        with self._numbering:
            self._last_seq = max(self._last_seq, seq)

    def put(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Vectors,
        seq: int,
        guard: Filter | None = None,
        sentences: Sequence[SentenceVectors] = (),
    ) -> Change:
        """Insert or replace a document; durable and visible to the next search when this returns.

        Args:
            vectors: ``(len(chunks), dimension)``; of any length, for cosine they are stored as unit vectors.
            seq: from ``accept``.
            guard: what the document that is there must pass to be replaced; see ``guarded``.
            sentences: of each chunk, or none at all.

        Raises:
            InvalidVectorError: ``vectors`` or ``sentences`` have another shape, or a vector has a component that is not
                finite, or zeros alone.
            StoreUnavailableError: nothing was promised.
        """
        expected = (len(chunks), self.spec.dimension)
        if vectors.shape != expected:
            raise InvalidVectorError(f"vectors have the shape {vectors.shape}, not {expected}")
        check_sentences(sentences, len(chunks), self.spec.dimension)
        vectors = checked(vectors, self.spec.metric, "vector")
        put = self._store.put
        work = partial(put, document=document, chunks=chunks, vectors=vectors, seq=seq, sentences=sentences)
        return self._commit(guarded(work, document.id, guard), Added(document, chunks, vectors))

    def confirm(self, document_id: str, content_hash: bytes, seq: int, source_hash: bytes | None = None) -> bool:
        """True when the document already has this content; it then counts as written at ``seq``, from that source."""
        if self._store.content_hash(document_id) != content_hash:
            return False
        confirm = self._store.confirm
        work = partial(confirm, document_id=document_id, content_hash=content_hash, seq=seq, source_hash=source_hash)
        return self._note(work).outcome == "unchanged"

    def confirm_source(self, document_id: str, source_hash: bytes, seq: int) -> bool:
        """True when the document was made of this very file; it then counts as written at ``seq``."""
        if self._store.source_hash(document_id) != source_hash:
            return False
        work = partial(self._store.confirm_source, document_id=document_id, source_hash=source_hash, seq=seq)
        return self._note(work).outcome == "unchanged"

    def is_overtaken(self, document_id: str, metadata: Mapping[str, Any] | None, seq: int) -> bool:
        """As ``Store.is_overtaken``."""
        return self._store.is_overtaken(document_id, metadata, seq)

    def delete(self, document_id: str, seq: int, guard: Filter | None = None) -> Change:
        """Remove a document that passes ``guard``; invisible to every search that starts after this returns.

        One that does not pass is ``absent``, as if there were none.
        """
        work = partial(self._store.delete, document_id=document_id, seq=seq, guard=guard)
        otherwise = partial(self._store.hold_back, document_id=document_id, seq=seq, guard=guard)
        return self._commit(guarded(work, document_id, guard, otherwise))

    def delete_matching(self, filter: Filter, seq: int) -> tuple[int, int]:
        """Remove the documents that pass ``filter``; invisible to every search that starts after this returns.

        Many are removed in steps, between which others write; a search meanwhile may find those of the steps to come.

        Returns:
            How many there were, and the version without them.

        Raises:
            InvalidFilterError: it is larger than a deletion's may be.
        """
        check_storable(filter)
        rows, version = self._store.matching(filter)
        deleted = 0
        while len(rows) > _DELETED_AT_ONCE:
            step, rows = rows[:_DELETED_AT_ONCE], rows[_DELETED_AT_ONCE:]
            deleted += self._commit(partial(self._store.delete_rows, documents=step, seq=seq)).deleted
        work = partial(self._store.delete_matching, filter=filter, seq=seq, rows=rows, after=version)
        change = self._commit(work)
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

    def documents(self, after: str, limit: int, filter: Filter | None = None) -> list[Entry]:
        """(id, title, url, metadata) of up to ``limit`` documents with an id above ``after`` that pass, by id."""
        return self._store.documents(after, limit, filter)

    def surroundings(self, rows: Sequence[int], reach: int) -> dict[int, Surroundings]:
        """As ``surroundings``, of the chunk rows that hits have.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        with self._store.snapshot() as snapshot:
            return surroundings(snapshot, rows, reach)

    def search(self, query: Vectors, params: SearchParams) -> Sequence[Hit]:
        """The hits of ``searched``."""
        return self.searched(query, params).hits

    def confirmed_at(self, version: int, rows: Sequence[int], params: SearchParams) -> dict[int, StoredChunk] | None:
        """The chunks that were found at ``version``; None where that is over, or one of them would not be found now.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        recheck = Recheck(params)
        with self._store.snapshot() as snapshot:
            if snapshot.version != version:
                return None
            confirmed = recheck.confirmed(snapshot, rows)
        still = self._still_there(confirmed, recheck)
        return still if len(still) == len(rows) else None

    def sentences_of(self, rows: Sequence[int]) -> dict[int, SentenceVectors]:
        """As ``Store.sentences_of``."""
        return self._store.sentences_of(rows, self.spec.dimension)

    def ids_matching(self, filter: Filter) -> list[str]:
        """Ids of the documents that pass now."""
        return self._store.ids_matching(filter)

    def count_matching(self, filter: Filter) -> int:
        """How many there are."""
        return len(self.ids_matching(filter))

    def needles(self, document_ids: Sequence[str]) -> list[bytes]:
        """Samples of everything that the documents have in the store, to be taken before they are deleted."""
        return needles_in(self._store.database, document_ids)

    def _still_there(self, confirmed: dict[int, StoredChunk], recheck: Recheck) -> dict[int, StoredChunk]:
        """Without what was deleted while the search ran; the store is asked only where rows died meanwhile."""
        living = self.living(list(confirmed))
        if len(living) == len(confirmed):
            return confirmed
        with self._store.snapshot() as snapshot:
            return recheck.still_there(confirmed, living, snapshot)
