"""Named collections of one data directory, which one process owns at a time."""

import os
import shutil
import sqlite3
import threading
import uuid
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from indexes.collection import Collection
from indexes.database import SqliteDatabase
from indexes.errors import (
    CollectionConflictError,
    CollectionNotFoundError,
    DataDirectoryError,
    StoreUnavailableError,
)
from indexes.names import check_collection_name
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.upkeep import IndexPolicy
from indexes.writer import GroupCommitWriter

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE collections (
    uuid TEXT PRIMARY KEY, name TEXT UNIQUE, spec TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


class Catalog:
    """Opens every collection of ``data_dir`` and holds its lock until ``close``.

    A collection lives in ``collections/<uuid>/``, so that a name can be given to a new one while files of the old one
    are still being removed. A row whose name is NULL is a deletion to finish.

    Args:
        data_dir: created when absent.
        policy: see ``Collection``.

    Raises:
        DataDirectoryError: another process holds the lock, or the data is newer than the program.
        StoreUnavailableError: SQLite cannot open a file.
    """

    def __init__(self, data_dir: Path, policy: IndexPolicy) -> None:
        self._folder = data_dir / "collections"
        self._policy = policy
        try:
            _make_folder(self._folder)
        except OSError as error:
            raise DataDirectoryError(f"cannot create {self._folder}: {error.strerror}") from error
        self._mutation = threading.Lock()
        self._collections: dict[str, Collection] = {}
        self._damaged: dict[str, str] = {}  # name -> why it could not be opened
        with ExitStack() as opened:
            opened.callback(_locked(data_dir).release)
            self._database = SqliteDatabase(data_dir / "catalog.db", _SCHEMA, SCHEMA_VERSION)
            opened.callback(self._database.close)
            opened.callback(self._close_collections)
            self._writer = GroupCommitWriter()
            opened.callback(self._writer.close)
            self._open_all()
            self._opened = opened.pop_all()

    def get(self, name: str) -> Collection:
        """The collection of that name.

        Raises:
            CollectionNotFoundError: there is none.
            StoreUnavailableError: its files are damaged.
        """
        if name in self._damaged:
            raise StoreUnavailableError(f"collection {name!r} could not be opened: {self._damaged[name]}")
        try:
            return self._collections[name]
        except KeyError:
            raise CollectionNotFoundError(name) from None

    def __contains__(self, name: str) -> bool:
        return name in self._collections or name in self._damaged

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted([*self._collections, *self._damaged])

    def ensure(self, name: str, spec: CollectionSpec) -> tuple[Collection, bool]:
        """The collection of that name and identity, and whether it was created just now.

        Raises:
            InvalidNameError: the name is not 1-64 letters, digits, ``_``, ``.``, ``-``, a letter or digit first.
            CollectionConflictError: it exists with another identity.
        """
        check_collection_name(name)
        with self._mutation:
            if name not in self:
                return self._create(name, spec), True
            existing = self.get(name)
        differences = existing.spec.differences(spec)
        if differences:
            said = ", ".join(f"{field} is {mine!r}, not {asked!r}" for field, (mine, asked) in differences.items())
            raise CollectionConflictError(f"collection {name!r} exists with another identity: {said}")
        return existing, False

    def drop(self, name: str) -> None:
        """Delete a collection and its files.

        Raises:
            CollectionNotFoundError: there is none of that name.
        """
        with self._mutation:
            if name not in self:
                raise CollectionNotFoundError(name)
            # Closed on the writer thread: SQLite crashes when a connection is closed under a statement it executes.
            uid = self._writer.write(self._database, partial(_forget, name=name), lambda _: self._close(name))
        self._purge(uid)

    def close(self) -> None:
        """Finish the writes that are queued, close every file, release the lock."""
        self._opened.close()

    def _close(self, name: str) -> None:
        if self._damaged.pop(name, None) is None:
            self._collections.pop(name).close()

    def _close_collections(self) -> None:
        for collection in self._collections.values():
            collection.close()

    def _open_all(self) -> None:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT uuid, name, spec FROM collections").fetchall()
        for uid, name, spec in rows:
            if name is None:
                self._purge(uid)
            else:
                self._open_or_set_aside(name, uid, CollectionSpec(**orjson.loads(spec)))

    def _open_or_set_aside(self, name: str, uid: str, spec: CollectionSpec) -> None:
        """A damaged file costs one collection; its files stay as they are for whoever repairs them."""
        try:
            self._collections[name] = self._open(uid, spec)
        except (StoreUnavailableError, ValueError) as error:
            self._damaged[name] = str(error)

    def _create(self, name: str, spec: CollectionSpec) -> Collection:
        uid = uuid.uuid4().hex
        self._writer.write(self._database, partial(_remember, uid=uid, name=name, spec=spec))
        try:
            self._collections[name] = self._open(uid, spec)
        except BaseException:
            self._purge(uid)  # or the name would be taken by nothing
            raise
        return self._collections[name]

    def _open(self, uid: str, spec: CollectionSpec) -> Collection:
        folder = self._folder / uid
        try:
            _make_folder(folder)
        except OSError as error:
            raise StoreUnavailableError(f"cannot create {folder}: {error.strerror}") from error
        store = Store(folder / "store.db")
        try:
            return Collection(spec, store, self._writer, folder / "snapshots", self._policy)
        except BaseException:
            store.close()
            raise

    def _purge(self, uid: str) -> None:
        """Remove the files first, the row last: a crash in between leaves a row that says what is still to do."""
        shutil.rmtree(self._folder / uid, ignore_errors=True)
        self._writer.write(self._database, partial(_erase, uid=uid))


def _make_folder(folder: Path) -> None:
    """Make a folder and the parents it lacks; their names survive a power cut: SQLite syncs only the names in it."""
    if not folder.parent.exists():
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(data_dir: Path) -> FileLock:
    lock = FileLock(data_dir / "lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataDirectoryError(f"{data_dir} is in use by another process") from None
    except OSError as error:
        raise DataDirectoryError(f"cannot lock {data_dir}: {error.strerror}") from error
    return lock


def _remember(connection: sqlite3.Connection, uid: str, name: str, spec: CollectionSpec) -> None:
    connection.execute(
        "INSERT INTO collections (uuid, name, spec) VALUES (?, ?, ?)", (uid, name, orjson.dumps(asdict(spec)).decode())
    )


def _forget(connection: sqlite3.Connection, name: str) -> str:
    uid = connection.execute("SELECT uuid FROM collections WHERE name = ?", (name,)).fetchone()[0]
    connection.execute("UPDATE collections SET name = NULL WHERE uuid = ?", (uid,))
    return str(uid)


def _erase(connection: sqlite3.Connection, uid: str) -> None:
    connection.execute("DELETE FROM collections WHERE uuid = ?", (uid,))
