"""Preferences: what a collection's users may change about it without making it another; by its name.

Their table is made when the first one is kept, so that a catalogue without any stays as older programs know it; they
leave the table alone.
"""

import sqlite3
from functools import partial

from indexes.database import SqliteDatabase
from indexes.writer import GroupCommitWriter

_TABLE = """
CREATE TABLE IF NOT EXISTS preferences (
    collection TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (collection, key))
"""
_EXISTS = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'preferences'"


class Preferences:
    """Of a catalogue's collections; whether there is one of a name is the catalogue's to check."""

    def __init__(self, database: SqliteDatabase, writer: GroupCommitWriter) -> None:
        self._database = database
        self._writer = writer
        with database.reading() as connection:
            self._values = {(name, key): value for name, key, value in _stored(connection)}

    def get(self, collection: str, key: str) -> str | None:
        """What is preferred, or None."""
        return self._values.get((collection, key))

    def of(self, collection: str) -> dict[str, str]:
        """All that is preferred of a collection, by key."""
        return {key: value for (name, key), value in list(self._values.items()) if name == collection}

    def set(self, collection: str, key: str, value: str | None) -> None:
        """Keep a value, or none any more; it is durable when this returns."""
        work = partial(_set, collection=collection, key=key, value=value)
        self._writer.write(self._database, work, lambda _: self._applied(collection, key, value))

    def forget(self, collection: str) -> None:
        """The collection is gone, and its rows with it: see the function of that name."""
        self._values = {place: value for place, value in self._values.items() if place[0] != collection}

    def _applied(self, collection: str, key: str, value: str | None) -> None:
        others = {place: kept for place, kept in self._values.items() if place != (collection, key)}
        self._values = others if value is None else others | {(collection, key): value}


def forget(connection: sqlite3.Connection, collection: str) -> None:
    """Delete those of a collection, inside the transaction that deletes it or makes it."""
    if _has_table(connection):
        connection.execute("DELETE FROM preferences WHERE collection = ?", (collection,))


def _has_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute(_EXISTS).fetchone()[0])


def _stored(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return connection.execute("SELECT * FROM preferences").fetchall() if _has_table(connection) else []


def _set(connection: sqlite3.Connection, collection: str, key: str, value: str | None) -> None:
    connection.execute(_TABLE)
    if value is None:
        connection.execute("DELETE FROM preferences WHERE collection = ? AND key = ?", (collection, key))
    else:
        connection.execute("INSERT OR REPLACE INTO preferences VALUES (?, ?, ?)", (collection, key, value))
