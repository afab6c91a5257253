"""MilvusCollection: a store whose vectors are searched by Milvus. See decision 20."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from indexes.base import SearchParams, Vectors
from indexes.erasure import Proof, erase, prove_erased
from indexes.errors import ErasureError, StoreUnavailableError
from indexes.guard import Work
from indexes.milvus_client import MilvusTable
from indexes.milvus_feed import MilvusFeed, Parcel
from indexes.milvus_keeping import MilvusKeeping
from indexes.milvus_place import MilvusPlace
from indexes.milvus_row import MilvusRow, rows_of
from indexes.milvus_search import MilvusSearch
from indexes.placement import IndexMemory
from indexes.recall import LiveRecall
from indexes.recheck import Recheck
from indexes.searched import Searched
from indexes.spec import CollectionSpec
from indexes.state import CollectionState, StoredCounts
from indexes.store import Change, Store
from indexes.stored_collection import Added, StoredCollection
from indexes.stored_damage import document_damage
from indexes.vector_check import checked_query
from indexes.verification import Verification
from indexes.work import Work as LongWork
from indexes.writer import GroupCommitWriter


class MilvusCollection(StoredCollection):
    """One named set of documents. Every method may be called from any thread.

    What fails while Milvus does not answer is a MilvusUnavailableError; documents are read all the same.

    Args:
        folder: where ``place`` is written.
    """

    def __init__(
        self,
        spec: CollectionSpec,
        store: Store,
        writer: GroupCommitWriter,
        folder: Path,
        table: MilvusTable,
        place: MilvusPlace,
    ) -> None:
        super().__init__(spec, store, writer)
        version = store.version()
        self._table = table
        self._folder = folder
        self._place = place.at(None).write(folder)
        self._feed = MilvusFeed(table, version)
        self.upkeep = MilvusKeeping(store, table, self._feed, is_whole=place.sent == version)
        table.on_made = self._began_anew

    @property
    def has_words(self) -> bool:
        """Milvus has vectors alone."""
        return False

    @property
    def version(self) -> int:
        """Version that Milvus has; a search waits for that of the store."""
        return self._feed.sent

    @property
    def place(self) -> str:
        """Name of its rows in Milvus."""
        return self._place.name

    def make_place(self) -> None:
        """Have Milvus have a collection of that name.

        Raises:
            MilvusUnavailableError: it may not.
        """
        self._table.make()

    @property
    def is_behind(self) -> bool:
        """Only the store can tell what is there."""
        return True

    @property
    def memory(self) -> IndexMemory:
        """Of this host nothing."""
        return IndexMemory()

    @property
    def working_on(self) -> LongWork | None:
        """What is being compared."""
        return self.upkeep.working_on

    @property
    def trouble(self) -> list[str]:
        """What Milvus does not have, and why."""
        return self.upkeep.trouble

    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """As in ``StoredCollection``; ``plan`` and the numbers of rows are those of no index of ours.

        Raises:
            InvalidVectorError, StoreUnavailableError: as there.
            MilvusUnavailableError: it did not answer.
        """
        query = checked_query(query, self.spec)
        recheck = Recheck(params)
        with self._feed.searching() as pin, self._store.snapshot() as snapshot:
            pin(snapshot.version)
            near = self._table.candidates
            finding, confirmed = MilvusSearch(
                near, snapshot, self._table.index, self.spec, query, params, recheck
            ).found()
            version = snapshot.version
        named = {*finding.found.rows.tolist(), *(dropped.row for dropped in finding.found.omissions.dropped)}
        confirmed = self._still_there({row: confirmed[row] for row in named}, recheck)
        return replace(Searched.of(finding, confirmed, version, params), failed=dict(+recheck.failed))

    def living(self, rows: Sequence[int]) -> set[int]:
        """As in ``StoredCollection``, from the store.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        if self._store.is_closed:
            raise StoreUnavailableError("the collection was closed; whether its documents are there nobody can tell")
        with self._store.snapshot() as snapshot:
            return snapshot.living(list(rows))

    def describe(self) -> CollectionState:
        """Counts of the store, and how far Milvus is."""
        counts = StoredCounts(*self._store.counts(), *self._store.sentence_counts())
        index = self._table.index
        tier = f"milvus: {index.type} with exact refine in {self._table.name}"
        return CollectionState(
            documents=counts.documents,
            chunks=counts.chunks,
            index_version=self.version,
            seal_rows=0,
            segments=[{"tier": tier, "index": "milvus", "rows": counts.chunks, "live_rows": counts.chunks}],
            dead_rows=0,
            bytes=0,
            sentences=counts.sentences,
            sentence_bytes=counts.sentence_bytes(self.spec.dimension),
            recall=LiveRecall().estimate(),
            snapshot=None,
            working_on=self.working_on,
            trouble=self.trouble,
        )

    def rebuild(self) -> None:
        """Send what Milvus lacks or has otherwise, and delete what it has too much.

        Raises:
            MilvusUnavailableError, StoreUnavailableError: it is to be done again.
        """
        self.upkeep.compare(deep=True)

    def verify(self) -> Verification:
        """Compare every row that Milvus has with the store, and check the store's file.

        Raises:
            StoreUnavailableError: the collection is closed.
        """
        problems, rows = self._store.check() + document_damage(self._store), 0
        try:
            difference = self.upkeep.look()
            rows, problems = difference.rows, problems + difference.problems
        except StoreUnavailableError as error:
            if self._store.is_closed:
                raise
            problems.append(str(error))
        return Verification(self.version, rows, rows, problems)

    def purge(self, needles: Sequence[bytes]) -> Proof:
        """Remove everything that was deleted so far from the files here, and have Milvus do likewise.

        Nobody can prove the latter: its files are behind its API, and rewritten when it likes.

        Raises:
            ErasureError: something was found in the files after that.
            MilvusUnavailableError, StoreUnavailableError: it can be tried again.
        """
        self.upkeep.compare()
        erase(self._writer, self._store.database)
        self._table.compact()
        proof = prove_erased(self._store.database, needles)
        if proof.found:
            first = proof.found[0]
            raise ErasureError(
                f"{len(proof.found)} samples of what was purged are still in the files, as in {first.file} at byte "
                f"{first.offset}"
            )
        return proof

    def close(self) -> None:
        """Close the store; later calls raise StoreUnavailableError. On the writer thread, or after it has ended."""
        if self._store.is_closed:
            return
        version = self._store.version()
        if self.upkeep.is_whole and self._feed.sent == version and not self._feed.waiting:
            self._place.at(version).write(self._folder)
        self._store.close()

    def _began_anew(self) -> None:
        """Milvus had no such collection: no loss where there was nothing in it."""
        if self._feed.sent:
            self.upkeep.is_whole = False

    def _commit(self, work: Work, added: Added | None = None) -> Change:
        rows: list[MilvusRow] = []
        if added is not None:
            document = added.document
            rows = rows_of(document.title, document.url, document.metadata, added.chunks, added.vectors)
        self._feed.check()
        change = self._writer.write(self._store.database, work, lambda change: self._feed.add(_parcel(change, rows)))
        self._feed.bring(change.version)
        return change

    def _note(self, work: Work) -> Change:
        change = self._writer.write(self._store.database, work)
        self._feed.bring(change.version)
        return change


def _parcel(change: Change, rows: Sequence[MilvusRow]) -> Parcel:
    """Nothing is added where the write came too late."""
    numbers = change.added.tolist()
    added = [row.entity(number, change.version) for number, row in zip(numbers, rows, strict=False)]
    return Parcel(change.version, added, change.removed)
