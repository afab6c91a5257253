"""Collection: a store and what is derived from it. Upsert, delete, search."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from indexes.base import Chunk, Document, Hit, SearchParams, Vectors
from indexes.counted_words import CountedWords, counted_words
from indexes.document_rows import Entry
from indexes.erasure import Proof, needles_in
from indexes.errors import (
    DocumentNotFoundError,
    InvalidVectorError,
    StoreUnavailableError,
)
from indexes.filters import Filter
from indexes.finding import find
from indexes.guard import guarded
from indexes.lexical import LexicalIndex
from indexes.live_view import LiveView
from indexes.opening import opened_view
from indexes.operations import check_storable
from indexes.pinned import pinned
from indexes.placement import IndexMemory
from indexes.purge import Derived, dead_rows, needles_of_dead, purge
from indexes.recheck import Recheck
from indexes.searched import Searched
from indexes.sentence_vectors import SentenceVectors, check_sentences
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.state import CollectionState, StoredCounts, host_memory, state_of
from indexes.store import Change, Store
from indexes.store_snapshot import StoredChunk
from indexes.surroundings import Surroundings, surroundings
from indexes.upkeep import IndexPolicy, Upkeep
from indexes.vector_check import checked
from indexes.verification import Verification, verify
from indexes.work import Work
from indexes.writer import GroupCommitWriter

# Documents in one transaction: a commit of hundreds of megabytes would hold every other write up for many seconds.
_DELETED_AT_ONCE = 1000


class Collection:
    """One named set of documents. Every method may be called from any thread.

    Args:
        spec: identity.
        store: the truth; its vectors are read into memory here.
        writer: the thread that commits.
        folder: where snapshots of the index are kept.
        policy: when rows are sealed.
        lexical: of the same store; closed with the collection.
    """

    def __init__(
        self,
        spec: CollectionSpec,
        store: Store,
        writer: GroupCommitWriter,
        folder: Path,
        policy: IndexPolicy,
        lexical: LexicalIndex,
    ) -> None:
        self.spec = spec
        self._store = store
        self._writer = writer
        self.lexical = lexical
        self._snapshots = snapshots = Snapshots(folder)
        view, damage = opened_view(spec, store, snapshots)
        self._live = LiveView(view)
        self.upkeep = Upkeep(spec, store, self._live, snapshots, policy, damage)
        self._last_seq = store.last_seq()
        self._numbering = threading.Lock()
        self._verifying: Work | None = None

    @property
    def version(self) -> int:
        """Version a search that starts now is answered at."""
        return self._live.now.version

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
        words = self.lexical.words_of(document.title, chunks)  # here, as the writer thread is everybody's
        follow: Callable[[Change], None] = partial(self._follow, words=words)
        return self._writer.write(self._store.database, guarded(work, document.id, guard), follow)

    def confirm(self, document_id: str, content_hash: bytes, seq: int, source_hash: bytes | None = None) -> bool:
        """True when the document already has this content; it then counts as written at ``seq``, from that source."""
        if self._store.content_hash(document_id) != content_hash:
            return False
        confirm = self._store.confirm
        work = partial(confirm, document_id=document_id, content_hash=content_hash, seq=seq, source_hash=source_hash)
        return self._writer.write(self._store.database, work).outcome == "unchanged"

    def confirm_source(self, document_id: str, source_hash: bytes, seq: int) -> bool:
        """True when the document was made of this very file; it then counts as written at ``seq``."""
        if self._store.source_hash(document_id) != source_hash:
            return False
        work = partial(self._store.confirm_source, document_id=document_id, source_hash=source_hash, seq=seq)
        return self._writer.write(self._store.database, work).outcome == "unchanged"

    def is_overtaken(self, document_id: str, metadata: Mapping[str, Any] | None, seq: int) -> bool:
        """As ``Store.is_overtaken``."""
        return self._store.is_overtaken(document_id, metadata, seq)

    def delete(self, document_id: str, seq: int, guard: Filter | None = None) -> Change:
        """Remove a document that passes ``guard``; invisible to every search that starts after this returns.

        One that does not pass is ``absent``, as if there were none.
        """
        work = partial(self._store.delete, document_id=document_id, seq=seq, guard=guard)
        otherwise = partial(self._store.hold_back, document_id=document_id, seq=seq, guard=guard)
        checked = guarded(work, document_id, guard, otherwise)
        return self._writer.write(self._store.database, checked, self._follow)

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
            work = partial(self._store.delete_rows, documents=step, seq=seq)
            deleted += self._writer.write(self._store.database, work, self._follow).deleted
        work = partial(self._store.delete_matching, filter=filter, seq=seq, rows=rows, after=version)
        change = self._writer.write(self._store.database, work, self._follow)
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

    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """The ``top_k`` best chunks for a ``(dimension,)`` vector, best first, and how they were found.

        Raises:
            InvalidVectorError: the query has another shape, a component that is not finite, or is all zeros.
            StoreUnavailableError: the store cannot be read.
        """
        if query.shape != (self.spec.dimension,):
            raise InvalidVectorError(f"the query has the shape {query.shape}, not ({self.spec.dimension},)")
        query = checked(query[None], self.spec.metric, "query")[0]
        # Vectors and texts at one version: what is committed meanwhile neither hides a hit nor doubles it.
        with pinned(self._store, self._live) as (snapshot, view):
            finding = find(view, snapshot.version, query, params, self.lexical)
            found = finding.found
            recheck = Recheck(params)
            wanted = [*found.rows.tolist(), *(dropped.row for dropped in found.omissions.dropped)]
            confirmed = recheck.confirmed(snapshot, wanted)
        confirmed = self._still_there(confirmed, recheck)
        self.upkeep.shadow.offer(view, snapshot.version, query, finding.asked, finding.plain.rows)
        return replace(Searched.of(finding, confirmed, snapshot.version, params), failed=dict(+recheck.failed))

    def living(self, rows: Sequence[int]) -> set[int]:
        """Those of the chunk rows, as hits have them, that no commit has removed; looks at memory while it may.

        Raises:
            StoreUnavailableError: the collection is closed, so nobody can tell; or memory has lost track of the store,
                and that cannot be read.
        """
        if self._store.is_closed:
            raise StoreUnavailableError("the collection was closed; whether its documents are there nobody can tell")
        if self.is_behind:
            with self._store.snapshot() as snapshot:
                return snapshot.living(list(rows))
        return set(self._live.now.rows.living(np.array(rows, dtype=np.int64)).tolist())

    def sentences_of(self, rows: Sequence[int]) -> dict[int, SentenceVectors]:
        """As ``Store.sentences_of``."""
        return self._store.sentences_of(rows, self.spec.dimension)

    @property
    def is_behind(self) -> bool:
        """Memory could not follow a commit: what is there only the store can tell, and reading that takes time."""
        return self._live.is_behind

    def describe(self) -> CollectionState:
        """Counts and the state of the index, for the status page."""
        counts = StoredCounts(*self._store.counts(), *self._store.sentence_counts())
        state = state_of(self._live.now, self.upkeep, counts, self._snapshots.newest(), self.working_on)
        return replace(state, lexical=self.lexical.state, trouble=[*state.trouble, *self.lexical.trouble])

    @property
    def memory(self) -> IndexMemory:
        """What it takes on the host now; asks no file."""
        return host_memory(self._live.now) + IndexMemory(words=self.lexical.view.memory_bytes)

    @property
    def working_on(self) -> Work | None:
        """What is being built or verified."""
        return self.upkeep.working_on or self._verifying

    def rebuild(self) -> None:
        """Build the indexes anew from the store, and save them; a damaged snapshot of an older one goes.

        Raises:
            InsufficientMemoryError, StoreUnavailableError: the index that is there stays.
            SnapshotError: the new one cannot be saved, or a damaged one not removed; it serves all the same.
            LexicalError: the index of words cannot be written; the one that is there stays.
        """
        self.upkeep.rebuild()
        self.upkeep.save()
        self._snapshots.remove_damaged()
        self.lexical.rebuild()

    def verify(self) -> Verification:
        """Compare the index with the store and check every file; reads and writes go on meanwhile.

        Raises:
            StoreUnavailableError: the collection is closed.
        """

        def progress(done: int, total: int) -> None:
            self._verifying = Work("verifying", done, total)

        self._verifying = Work("verifying")
        try:
            return verify(self._store, self._live, self._snapshots, self.lexical, progress)
        finally:
            self._verifying = None

    def ids_matching(self, filter: Filter) -> list[str]:
        """Ids of the documents that pass now."""
        return self._store.ids_matching(filter)

    def needles(self, document_ids: Sequence[str]) -> list[bytes]:
        """Samples of everything that the documents have in the store, to be taken before they are deleted."""
        return needles_in(self._store.database, document_ids)

    def purge(self, needles: Sequence[bytes]) -> Proof:
        """Remove everything that was deleted so far from files, index and snapshots, and look for it there.

        Args:
            needles: samples of it. Those of the vectors that are still in memory are added.

        Raises:
            ErasureError: it cannot be removed, or was found after that.
            InsufficientMemoryError, LexicalError, SnapshotError, StoreUnavailableError: it can be tried again.
        """
        view = self._live.now
        wanted = list(dict.fromkeys([*needles, *needles_of_dead(view)]))
        derived = Derived(self.upkeep, self.lexical)
        return purge(self._writer, self._store, derived, wanted, dead_rows(view))

    def close(self) -> None:
        """Close the store; later calls raise StoreUnavailableError. On the writer thread, or after it has ended."""
        self.lexical.close()
        self._store.close()

    def _follow(self, change: Change, words: CountedWords | None = None) -> None:
        """Do in memory what was committed; on the writer thread.

        Words first: a search at the version of this change would miss the new rows and no longer see the old ones.
        """
        if len(change.added):
            self.lexical.add(change.added.tolist(), words or counted_words(()))
        self._live.apply(change)
        self.lexical.remove(change.removed)

    def confirmed_at(self, version: int, rows: Sequence[int], params: SearchParams) -> dict[int, StoredChunk] | None:
        """The chunks that were found at ``version``; None where that is over, or one of them would not be found now."""
        recheck = Recheck(params)
        with self._store.snapshot() as snapshot:
            if snapshot.version != version:
                return None
            confirmed = recheck.confirmed(snapshot, rows)
        still = self._still_there(confirmed, recheck)
        return still if len(still) == len(rows) else None

    def _still_there(self, confirmed: dict[int, StoredChunk], recheck: Recheck) -> dict[int, StoredChunk]:
        """Without what was deleted while the search ran; the store is asked only where rows died meanwhile."""
        living = self.living(list(confirmed))
        if len(living) == len(confirmed):
            return confirmed
        with self._store.snapshot() as snapshot:
            return recheck.still_there(confirmed, living, snapshot)
