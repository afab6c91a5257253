"""A SQLite file with one connection for writing and a pool of connections for reading."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from indexes.checksums import checksum
from indexes.errors import DataDirectoryError, StoreUnavailableError
from indexes.foreign_schema import check_kinds, distrust
from indexes.migration import migrate

_NO_MIGRATIONS: Mapping[int, str] = {}


class SqliteDatabase:
    """WAL, ``synchronous=FULL``: what is committed survives kill -9 and a power cut.

    Args:
        path: the database file; created when absent.
        schema: DDL for a new file.
        version: the schema's version, kept in ``PRAGMA user_version``.
        migrations: scripts for files of older versions, see ``migrate``.

    Raises:
        DataDirectoryError: the file was written by a newer program.
        MigrationError: it was written by an older one and cannot be migrated.
        StoreUnavailableError: SQLite cannot open it.
    """

    def __init__(self, path: Path, schema: str, version: int, migrations: Mapping[int, str] = _NO_MIGRATIONS) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._writing: sqlite3.Connection | None = None
        try:
            try:
                self._prepare(schema, version, migrations)
            except BaseException:
                self.give_up_write_connection()
                raise
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"cannot open {path.name}: {error}") from error

    @property
    def path(self) -> Path:
        """Its file."""
        return self._path

    @property
    def is_closed(self) -> bool:
        """``close`` was called."""
        return self._closed

    @property
    def write_connection(self) -> sqlite3.Connection:
        """In autocommit mode, for one thread at a time; opened anew when it was given up.

        Raises:
            StoreUnavailableError: the database is closed.
            sqlite3.Error: SQLite cannot open it.
        """
        if self._writing is None:
            if self._closed:  # the writer ends before the databases of collections that stay
                raise StoreUnavailableError("the store was closed before the write: its collection is being deleted")
            self._writing = self._connect()
        return self._writing

    def give_up_write_connection(self) -> None:
        """Close it, whatever transaction it is in: SQLite takes back what was not committed."""
        given_up, self._writing = self._writing, None
        if given_up is not None:
            given_up.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for one short read; give it back at once, an open read keeps the WAL from shrinking.

        Raises:
            StoreUnavailableError: the database is closed, or SQLite fails inside the block.
        """
        connection = self._take()
        try:
            yield connection
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the store cannot read: {error}") from error
        finally:
            self._give_back(connection)

    @contextmanager
    def reading_afresh(self) -> Iterator[sqlite3.Connection]:
        """As ``reading``, with a connection that has no page in its cache: what it reads is what the file holds now.

        Raises:
            StoreUnavailableError: as ``reading``.
        """
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        try:
            with closing(self._connect()) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the store cannot read: {error}") from error

    def close(self) -> None:
        """Close every connection; those in use close when they are given back. Never while one is being written to."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self.give_up_write_connection()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            distrust(connection)
            connection.create_function("checksum", -1, checksum, deterministic=True)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA journal_size_limit=67108864")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, schema: str, version: int, migrations: Mapping[int, str]) -> None:
        found = int(self.write_connection.execute("PRAGMA user_version").fetchone()[0])
        if found > version:
            raise DataDirectoryError(f"{self._path} has schema version {found}; this program knows {version}")
        check_kinds(self.write_connection, self._path.name)
        if found == 0:
            self.write_connection.executescript(f"BEGIN; {schema} PRAGMA user_version={version}; COMMIT;")
        elif found < version:
            migrate(self.write_connection, self._path, version, migrations)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            if self._idle:
                return self._idle.pop()
        try:
            return self._connect()
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"cannot open {self._path.name}: {error}") from error

    def _give_back(self, connection: sqlite3.Connection) -> None:
        # One whose transaction could not be ended would show its next reader the past, and keep the WAL from shrinking.
        is_stuck = connection.in_transaction
        with self._lock:
            if not self._closed and not is_stuck:
                self._idle.append(connection)
                return
        connection.close()
