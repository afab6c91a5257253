"""A collection's vectors go to Milvus, or come back; under the lock of the data directory, so nobody writes meanwhile.

Either way the store stays as it is: what moves is where searches look. Cut short anywhere, it goes on when it is asked
for again. The file that names the place changes last on the way there, and first on the way back.
"""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from indexes.data_directory import LEXICAL, SNAPSHOTS, STORE
from indexes.durable import move
from indexes.errors import MigratedAlreadyError, StoreUnavailableError, UnequalRowsError
from indexes.milvus_client import MilvusServer
from indexes.milvus_comparison import Comparison, Difference
from indexes.milvus_place import FILE, UNUSED, MilvusPlace
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.work import Progress


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done.

    Attributes:
        documents: of the collection.
        rows: whose contents were compared on both sides.
        sent: of these, those that Milvus did not have; 0 on the way back.
        name: of the collection in Milvus.
    """

    documents: int
    rows: int
    sent: int
    name: str


@dataclass(frozen=True, slots=True)
class MilvusMigration:
    """Of one collection, which nobody has opened.

    Args:
        folder: of the collection.
        progress: told how many row numbers were looked at, of how many; it begins anew for the verification.
    """

    folder: Path
    spec: CollectionSpec
    server: MilvusServer
    progress: Progress = lambda *_: None

    def there(self) -> Migrated:
        """Fill Milvus with the store's rows, read all of them back, and have searches look there.

        Raises:
            MigratedAlreadyError: they do.
            MilvusUnavailableError, StoreUnavailableError: it goes on from here the next time.
            RowTooLargeError: Milvus has no room for one of the documents.
            UnequalRowsError: Milvus gives back something else.
        """
        if MilvusPlace.read(self.folder) is not None:
            raise MigratedAlreadyError("on Milvus")
        place = MilvusPlace.read(self.folder, UNUSED) or MilvusPlace.new().write(self.folder, UNUSED)
        with closing(Store(self.folder / STORE)) as store:
            comparison = self._comparison(store, place)
            mended = comparison.mended(deep=True)  # what was sent before may have been damaged since
            documents, rows = self._verified(comparison, store)
            place.at(store.version()).write(self.folder, UNUSED)
        move(self.folder / UNUSED, self.folder / FILE)
        for derived in (SNAPSHOTS, LEXICAL):  # of no use, and of what will be deleted nothing may stay in them
            shutil.rmtree(self.folder / derived, ignore_errors=True)
        return Migrated(documents, rows, mended.missing + mended.other, place.name)

    def back(self) -> Migrated:
        """Compare what Milvus has with the store, have searches look here, and drop it there.

        Raises:
            MigratedAlreadyError: they do.
            MilvusUnavailableError, StoreUnavailableError: it goes on from here the next time.
            UnequalRowsError: Milvus has something else than the store: nobody has looked at why.
        """
        place, left = MilvusPlace.read(self.folder), MilvusPlace.read(self.folder, UNUSED)
        if place is None and left is None:
            raise MigratedAlreadyError("here")
        documents = rows = 0
        if place is not None:
            with closing(Store(self.folder / STORE)) as store:
                problems = store.check()
                if problems:
                    raise StoreUnavailableError(f"the store is damaged: {problems[0]}")
                documents, rows = self._verified(self._comparison(store, place), store)
            move(self.folder / FILE, self.folder / UNUSED)
            left = place
        assert left is not None  # noqa: S101  one of both is there
        self.server.drop(left.name)
        (self.folder / UNUSED).unlink()
        return Migrated(documents, rows, 0, left.name)

    def _verified(self, comparison: Comparison, store: Store) -> tuple[int, int]:
        """Documents, and rows that are equal on both sides and as many."""
        found, (documents, chunks) = comparison.found(), store.counts()
        counted = comparison.table.count()
        if not found.is_none or not found.rows == chunks == counted:
            raise UnequalRowsError("; ".join(_said(found, chunks, counted)))
        return documents, found.rows

    def _comparison(self, store: Store, place: MilvusPlace) -> Comparison:
        return Comparison(store, self.server.table(place.name, self.spec), progress=self.progress)


def _said(found: Difference, chunks: int, counted: int) -> list[str]:
    counts = f"Milvus counts {counted} rows, the store {chunks}"
    return [*found.problems, counts] if counted != chunks else list(found.problems)
