"""Collection: a store and what is derived from it. Upsert, delete, search."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from indexes.base import Chunk, Document, Hit, SearchParams, Vectors
from indexes.boosting import boosted
from indexes.document_rows import Entry
from indexes.erasure import Proof, needles_in
from indexes.errors import (
    DocumentNotFoundError,
    InvalidVectorError,
    SnapshotError,
    StoreUnavailableError,
    UnknownRowError,
)
from indexes.filters import Filter
from indexes.generation import read_store
from indexes.guard import guarded
from indexes.live_view import LiveView
from indexes.nearest import nearest
from indexes.operations import check_storable
from indexes.pinned import pinned
from indexes.placement import IndexMemory
from indexes.purge import dead_rows, needles_of_dead, purge
from indexes.recheck import Recheck
from indexes.saved_index import unpacked
from indexes.searched import Searched
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.state import CollectionState, host_memory, state_of
from indexes.store import Change, Store
from indexes.store_snapshot import StoredChunk
from indexes.upkeep import IndexPolicy, Upkeep
from indexes.verification import Verification, verify
from indexes.view import View
from indexes.work import Work
from indexes.writer import GroupCommitWriter

# Vectors that are so near to unit vectors are kept as they came.
_UNIT_TOLERANCE = 1e-6
# Squared, it leaves room in a float32 for a distance of twice that and for rounding.
_LONGEST = 1e18
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
    """

    def __init__(
        self, spec: CollectionSpec, store: Store, writer: GroupCommitWriter, folder: Path, policy: IndexPolicy
    ) -> None:
        self.spec = spec
        self._store = store
        self._writer = writer
        self._snapshots = snapshots = Snapshots(folder)
        view, damage = _opened(spec, store, snapshots)
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
        self, document: Document, chunks: Sequence[Chunk], vectors: Vectors, seq: int, guard: Filter | None = None
    ) -> Change:
        """Insert or replace a document; durable and visible to the next search when this returns.

        Args:
            vectors: ``(len(chunks), dimension)``; of any length, for cosine they are stored as unit vectors.
            seq: from ``accept``.
            guard: what the document that is there must pass to be replaced; see ``guarded``.

        Raises:
            InvalidVectorError: ``vectors`` has another shape, a component that is not finite, or a row of zeros.
            StoreUnavailableError: nothing was promised.
        """
        expected = (len(chunks), self.spec.dimension)
        if vectors.shape != expected:
            raise InvalidVectorError(f"vectors have the shape {vectors.shape}, not {expected}")
        vectors = self._checked(vectors, "vector")
        work = partial(self._store.put, document=document, chunks=chunks, vectors=vectors, seq=seq)
        return self._writer.write(self._store.database, guarded(work, document.id, guard), self._live.apply)

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
        return self._writer.write(self._store.database, checked, self._live.apply)

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
            deleted += self._writer.write(self._store.database, work, self._live.apply).deleted
        work = partial(self._store.delete_matching, filter=filter, seq=seq, rows=rows, after=version)
        change = self._writer.write(self._store.database, work, self._live.apply)
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
        query = self._checked(query[None], "query")[0]
        # Vectors and texts at one version: what is committed meanwhile neither hides a hit nor doubles it.
        with pinned(self._store, self._live) as (snapshot, view):
            plain = nearest(view, snapshot.version, query, params)
            start = time.perf_counter()
            found = boosted(view, snapshot.version, query, params, plain) if params.boosts else plain
            boost_s = time.perf_counter() - start
            recheck = Recheck(params)
            wanted = [*found.rows.tolist(), *(dropped.row for dropped in found.omissions.dropped)]
            confirmed = recheck.confirmed(snapshot, wanted)
        confirmed = self._still_there(confirmed, recheck)
        self.upkeep.shadow.offer(view, snapshot.version, query, params, plain.rows)
        searched = Searched.of(found, confirmed, snapshot.version, params)
        return replace(searched, boost_s=boost_s, failed=dict(+recheck.failed))

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

    @property
    def is_behind(self) -> bool:
        """Memory could not follow a commit: what is there only the store can tell, and reading that takes time."""
        return self._live.is_behind

    def describe(self) -> CollectionState:
        """Counts and the state of the index, for the status page."""
        return state_of(self._live.now, self.upkeep, self._store.counts(), self._snapshots.newest(), self.working_on)

    @property
    def memory(self) -> IndexMemory:
        """What it takes on the host now; asks no file."""
        return host_memory(self._live.now)

    @property
    def working_on(self) -> Work | None:
        """What is being built or verified."""
        return self.upkeep.working_on or self._verifying

    def rebuild(self) -> None:
        """Build the index anew from the store, and save it; a damaged snapshot of an older one goes.

        Raises:
            InsufficientMemoryError, StoreUnavailableError: the index that is there stays.
            SnapshotError: the new one cannot be saved, or a damaged one not removed; it serves all the same.
        """
        self.upkeep.rebuild()
        self.upkeep.save()
        self._snapshots.remove_damaged()

    def verify(self) -> Verification:
        """Compare the index with the store and check every file; reads and writes go on meanwhile.

        Raises:
            StoreUnavailableError: the collection is closed.
        """

        def progress(done: int, total: int) -> None:
            self._verifying = Work("verifying", done, total)

        self._verifying = Work("verifying")
        try:
            return verify(self._store, self._live, self._snapshots, progress)
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
            InsufficientMemoryError, SnapshotError, StoreUnavailableError: it can be tried again.
        """
        view = self._live.now
        wanted = list(dict.fromkeys([*needles, *needles_of_dead(view)]))
        return purge(self._writer, self._store, self.upkeep, wanted, dead_rows(view))

    def close(self) -> None:
        """Close the store; later calls raise StoreUnavailableError. On the writer thread, or after it has ended."""
        self._store.close()

    def _still_there(self, confirmed: dict[int, StoredChunk], recheck: Recheck) -> dict[int, StoredChunk]:
        """Without what was deleted while the search ran; the store is asked only where rows died meanwhile."""
        living = self.living(list(confirmed))
        if len(living) == len(confirmed):
            return confirmed
        with self._store.snapshot() as snapshot:
            return recheck.still_there(confirmed, living, snapshot)

    def _checked(self, vectors: Vectors, noun: str) -> Vectors:
        if not np.isfinite(vectors).all():
            raise InvalidVectorError(f"a {noun} has components that are not finite")
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)  # squares overflow early in float32
        if not norms.all():
            raise InvalidVectorError(f"a {noun} is all zeros, which is near to nothing")
        longest = float(norms.max(initial=0))
        if self.spec.metric != "cosine" and longest > _LONGEST:
            raise InvalidVectorError(f"a {noun} has the norm {longest:.3g}; scores are finite up to {_LONGEST:g}")
        if self.spec.metric == "cosine" and np.abs(norms - 1).max(initial=0) > _UNIT_TOLERANCE:
            vectors = vectors / norms
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _opened(spec: CollectionSpec, store: Store, snapshots: Snapshots) -> tuple[View, list[str]]:
    """The newest good snapshot with what was written since; else every row in the tail, and what was wrong."""
    damage: list[str] = []
    loaded = snapshots.load(damage.append)
    version = store.version()
    if loaded is not None:
        try:
            saved = unpacked(loaded, spec)
            if saved.version > version:  # row ids that it knows may have been given to other chunks since
                raise SnapshotError(f"snapshot {loaded.name} is of version {saved.version}, the store of {version}")
            generation = read_store(store, spec, saved.ids)
            return View(generation.rows, generation.attributes, saved.sealed, version), damage
        except (SnapshotError, UnknownRowError) as error:
            snapshots.distrust(loaded.name)
            damage.append(str(error))
    generation = read_store(store, spec)
    return View(generation.rows, generation.attributes, None, version), damage
