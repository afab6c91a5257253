"""Aliases: second names of collections, each moved from one collection to another in one transaction."""

import sqlite3
from functools import partial

from indexes.database import SqliteDatabase
from indexes.errors import AliasNotFoundError
from indexes.writer import GroupCommitWriter

TABLE = """
CREATE TABLE aliases (name TEXT PRIMARY KEY, collection_uuid TEXT NOT NULL REFERENCES collections(uuid));
"""


class Aliases:
    """The aliases of a catalogue; whether a name may be one is the catalogue's to check.

    A row names its collection by uuid, so that a collection cannot go while an alias names it.
    """

    def __init__(self, database: SqliteDatabase, writer: GroupCommitWriter) -> None:
        self._database = database
        self._writer = writer
        with database.reading() as connection:
            rows = connection.execute(
                "SELECT a.name, c.name FROM aliases a JOIN collections c ON c.uuid = a.collection_uuid"
            ).fetchall()
        self._collections: dict[str, str] = dict(rows)

    def __contains__(self, name: str) -> bool:
        return name in self._collections

    def mapping(self) -> dict[str, str]:
        """Alias -> collection, by alias."""
        return dict(sorted(self._collections.items()))

    def resolved(self, name: str) -> str:
        """The collection that an alias names; any other name as it is."""
        return self._collections.get(name, name)

    def of(self, collection: str) -> list[str]:
        """The aliases of a collection, sorted."""
        return sorted(name for name, named in self._collections.items() if named == collection)

    def set(self, name: str, collection: str) -> None:
        """Make or move an alias; it is durable when this returns, and what resolves it next sees it."""
        work = partial(_set, name=name, collection=collection)
        self._writer.write(self._database, work, lambda _: self._collections.update({name: collection}))

    def remove(self, name: str) -> None:
        """Remove an alias; its collection stays.

        Raises:
            AliasNotFoundError: there is none of that name.
        """
        if name not in self._collections:
            raise AliasNotFoundError(name)
        self._writer.write(self._database, partial(_remove, name=name), lambda _: self._forget(name))

    def _forget(self, name: str) -> None:
        del self._collections[name]


def follow(connection: sqlite3.Connection, old: str, new: str) -> None:
    """A collection's name moves from the uuid ``old`` to ``new``: its aliases go along."""
    connection.execute("UPDATE aliases SET collection_uuid = ? WHERE collection_uuid = ?", (new, old))


def _set(connection: sqlite3.Connection, name: str, collection: str) -> None:
    connection.execute(
        "INSERT INTO aliases (name, collection_uuid) SELECT ?, uuid FROM collections WHERE name = ? "
        "ON CONFLICT (name) DO UPDATE SET collection_uuid = excluded.collection_uuid",
        (name, collection),
    )


def _remove(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("DELETE FROM aliases WHERE name = ?", (name,))
