"""CollectionFolders: a folder for each collection, and the row that says which collection it is."""

import shutil
import sqlite3
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from indexes import catalog_rows
from indexes.collection import Collection
from indexes.data_directory import COLLECTIONS, LEXICAL, SNAPSHOTS, STORE
from indexes.database import SqliteDatabase
from indexes.durable import make_folder
from indexes.errors import StoreUnavailableError
from indexes.lexical import LexicalIndex
from indexes.lexical_thread import LexicalThread
from indexes.local_collection import LocalCollection
from indexes.milvus_place import MilvusPlace
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.upkeep import IndexPolicy
from indexes.writer import GroupCommitWriter

if TYPE_CHECKING:
    from indexes.milvus_client import MilvusServer


class CollectionFolders:
    """Makes, opens and removes what a collection has on the disk.

    Args:
        data_dir: whose ``COLLECTIONS`` has the folders, named by the uid of each collection.
        database: of the catalogue, which ``writer`` writes to.
        policy: see ``Collection``.
        lexical: what keeps the lexical index of each collection.
        milvus: where the vectors of new collections go; None keeps them here.
    """

    def __init__(
        self,
        data_dir: Path,
        database: SqliteDatabase,
        writer: GroupCommitWriter,
        policy: IndexPolicy,
        lexical: LexicalThread,
        milvus: "MilvusServer | None" = None,
    ) -> None:
        self._folder = data_dir / COLLECTIONS
        self._database = database
        self._writer = writer
        self._policy = policy
        self._lexical = lexical
        self._milvus = milvus

    def new(self, spec: CollectionSpec, adopt: Callable[[sqlite3.Connection, str], None]) -> Collection:
        """An empty collection with a row that has no name; a crash before ``adopt`` leaves something to delete.

        So whatever has a name has a store, and a store that is missing was lost.
        """
        uid = uuid.uuid4().hex
        self._writer.write(self._database, partial(catalog_rows.remember, uid=uid, spec=spec))
        try:
            if self._milvus is not None:
                MilvusPlace.new().at(0).write(self._made(uid))
            collection = self.open(uid, spec)
            try:
                self._writer.write(self._database, lambda connection: adopt(connection, uid))
            except BaseException:
                collection.close()
                raise
        except BaseException:
            self.purge(uid)
            raise
        return collection

    def open_again(self, uid: str, spec: CollectionSpec) -> Collection:
        """One that was made before. A mirror needs no such care: it is compared with its primary anyway.

        Raises:
            StoreUnavailableError: also where its store is lost: an empty one in its place would look like a loss of
                nothing.
        """
        path = self._folder / uid / STORE
        if not path.is_file():
            raise StoreUnavailableError(f"{path} is missing")
        return self.open(uid, spec)

    def open(self, uid: str, spec: CollectionSpec) -> Collection:
        """One whose folder is made where there is none.

        Raises:
            StoreUnavailableError: folder or store cannot be opened, or its vectors are on a Milvus that nobody named.
        """
        folder = self._made(uid)
        place = MilvusPlace.read(folder)
        store = Store(folder / STORE)
        try:
            return self._local(spec, store, folder) if place is None else self._on_milvus(spec, store, folder, place)
        except BaseException:
            store.close()
            raise

    def _local(self, spec: CollectionSpec, store: Store, folder: Path) -> Collection:
        lexical = LexicalIndex(store, folder / LEXICAL, spec.language)
        collection = LocalCollection(spec, store, self._writer, folder / SNAPSHOTS, self._policy, lexical)
        self._lexical.keep(lexical)
        return collection

    def _on_milvus(self, spec: CollectionSpec, store: Store, folder: Path, place: MilvusPlace) -> Collection:
        if self._milvus is None:
            raise StoreUnavailableError(f"its vectors are in Milvus, as {place.name}, and index.milvus.url is not set")
        from indexes.milvus import MilvusCollection  # noqa: PLC0415  pymilvus is an extra

        table = self._milvus.table(place.name, spec)
        return MilvusCollection(spec, store, self._writer, folder, table, place)

    def _made(self, uid: str) -> Path:
        folder = self._folder / uid
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreUnavailableError(f"cannot create {folder}: {error.strerror}") from error
        return folder

    def purge(self, uid: str) -> None:
        """Remove the files first, the row last: a crash in between leaves a row that says what is still to do.

        So does a file that cannot be removed, or that a snapshot which was being written left behind.
        """
        folder = self._folder / uid
        if self._is_gone_from_milvus(folder):
            shutil.rmtree(folder, ignore_errors=True)
        work = catalog_rows.disown if folder.exists() else catalog_rows.erase
        self._writer.write(self._database, partial(work, uid=uid))

    def _is_gone_from_milvus(self, folder: Path) -> bool:
        """Its rows there are dropped, or there are none; where Milvus does not answer, the next start tries again."""
        try:
            place = MilvusPlace.read(folder)
            if place is not None:
                if self._milvus is None:
                    return False
                self._milvus.drop(place.name)
        except StoreUnavailableError:
            return False
        return True
