"""LocalCollection: a store and what is derived from it in memory and beside it on the disk."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from indexes.base import SearchParams, Vectors
from indexes.counted_words import CountedWords, counted_words
from indexes.erasure import Proof
from indexes.errors import StoreUnavailableError
from indexes.finding import find
from indexes.guard import Work as StoreWork
from indexes.lexical import LexicalIndex
from indexes.live_view import LiveView
from indexes.opening import opened_view
from indexes.pinned import pinned
from indexes.placement import IndexMemory
from indexes.purge import Derived, dead_rows, needles_of_dead, purge
from indexes.recheck import Recheck
from indexes.searched import Searched
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.state import CollectionState, StoredCounts, host_memory, state_of
from indexes.store import Change, Store
from indexes.stored_collection import Added, StoredCollection
from indexes.upkeep import IndexPolicy, Upkeep
from indexes.vector_check import checked_query
from indexes.verification import Verification, verify
from indexes.work import Work
from indexes.writer import GroupCommitWriter


class LocalCollection(StoredCollection):
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
        super().__init__(spec, store, writer)
        self.lexical = lexical
        self._snapshots = snapshots = Snapshots(folder)
        view, damage = opened_view(spec, store, snapshots)
        self._live = LiveView(view)
        self.upkeep = Upkeep(spec, store, self._live, snapshots, policy, damage)
        self._verifying: Work | None = None

    @property
    def has_words(self) -> bool:
        """With every one."""
        return True

    @property
    def version(self) -> int:
        """Version a search that starts now is answered at."""
        return self._live.now.version

    @property
    def place(self) -> str | None:
        """None: only this process searches it."""
        return None

    def make_place(self) -> None:
        """There is none."""

    @property
    def trouble(self) -> list[str]:
        """Why something that is due is not done, or was built again."""
        return [*self.upkeep.trouble, *self.lexical.trouble]

    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """The ``top_k`` best chunks for a ``(dimension,)`` vector, best first, and how they were found.

        Raises:
            InvalidVectorError: the query has another shape, a component that is not finite, or is all zeros.
            StoreUnavailableError: the store cannot be read.
        """
        query = checked_query(query, self.spec)
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

    @property
    def is_behind(self) -> bool:
        """Memory could not follow a commit: what is there only the store can tell, and reading that takes time."""
        return self._live.is_behind

    def describe(self) -> CollectionState:
        """Counts and the state of the index, for the status page."""
        counts = StoredCounts(*self._store.counts(), *self._store.sentence_counts())
        state = state_of(self._live.now, self.upkeep, counts, self._snapshots.newest(), self.working_on)
        return replace(state, lexical=self.lexical.state, trouble=self.trouble)

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

    def _commit(self, work: StoreWork, added: Added | None = None) -> Change:
        # Words are counted here, as the writer thread is everybody's.
        words = None if added is None else self.lexical.words_of(added.document.title, added.chunks)
        follow: Callable[[Change], None] = partial(self._follow, words=words)
        return self._writer.write(self._store.database, work, follow)

    def _note(self, work: StoreWork) -> Change:
        return self._writer.write(self._store.database, work)

    def _follow(self, change: Change, words: CountedWords | None = None) -> None:
        """Do in memory what was committed; on the writer thread.

        Words first: a search at the version of this change would miss the new rows and no longer see the old ones.
        """
        if len(change.added):
            self.lexical.add(change.added.tolist(), words or counted_words(()))
        self._live.apply(change)
        self.lexical.remove(change.removed)
