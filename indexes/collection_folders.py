"""CollectionFolders: a folder for each collection, and the row that says which collection it is."""

import shutil
import sqlite3
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from indexes import catalog_rows
from indexes.collection import Collection
from indexes.data_directory import COLLECTIONS, LEXICAL, SNAPSHOTS, STORE
from indexes.database import SqliteDatabase
from indexes.durable import make_folder
from indexes.errors import StoreUnavailableError
from indexes.lexical import LexicalIndex
from indexes.lexical_thread import LexicalThread
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.upkeep import IndexPolicy
from indexes.writer import GroupCommitWriter


class CollectionFolders:
    """Makes, opens and removes what a collection has on the disk.

    Args:
        data_dir: whose ``COLLECTIONS`` has the folders, named by the uid of each collection.
        database: of the catalogue, which ``writer`` writes to.
        policy: see ``Collection``.
        lexical: what keeps the lexical index of each collection.
    """

    def __init__(
        self,
        data_dir: Path,
        database: SqliteDatabase,
        writer: GroupCommitWriter,
        policy: IndexPolicy,
        lexical: LexicalThread,
    ) -> None:
        self._folder = data_dir / COLLECTIONS
        self._database = database
        self._writer = writer
        self._policy = policy
        self._lexical = lexical

    def new(self, spec: CollectionSpec, adopt: Callable[[sqlite3.Connection, str], None]) -> Collection:
        """An empty collection with a row that has no name; a crash before ``adopt`` leaves something to delete.

        So whatever has a name has a store, and a store that is missing was lost.
        """
        uid = uuid.uuid4().hex
        self._writer.write(self._database, partial(catalog_rows.remember, uid=uid, spec=spec))
        try:
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
            StoreUnavailableError: folder or store cannot be opened.
        """
        folder = self._folder / uid
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreUnavailableError(f"cannot create {folder}: {error.strerror}") from error
        store = Store(folder / STORE)
        try:
            lexical = LexicalIndex(store, folder / LEXICAL, spec.language)
            collection = Collection(spec, store, self._writer, folder / SNAPSHOTS, self._policy, lexical)
        except BaseException:
            store.close()
            raise
        self._lexical.keep(lexical)
        return collection

    def purge(self, uid: str) -> None:
        """Remove the files first, the row last: a crash in between leaves a row that says what is still to do.

        So does a file that cannot be removed, or that a snapshot which was being written left behind.
        """
        folder = self._folder / uid
        shutil.rmtree(folder, ignore_errors=True)
        work = catalog_rows.disown if folder.exists() else catalog_rows.erase
        self._writer.write(self._database, partial(work, uid=uid))
