"""The rows of the catalogue: the uuid, name and identity of each collection.

The functions run inside the writer's transaction.
"""

import sqlite3
from dataclasses import asdict

import orjson

from indexes import reembeddings
from indexes.spec import CollectionSpec

TABLE = """
CREATE TABLE collections (
    uuid TEXT PRIMARY KEY, name TEXT UNIQUE, spec TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


def remember(connection: sqlite3.Connection, uid: str, spec: CollectionSpec) -> None:
    """A collection that has no name yet."""
    connection.execute(
        "INSERT INTO collections (uuid, name, spec) VALUES (?, NULL, ?)", (uid, orjson.dumps(asdict(spec)).decode())
    )


def give_name(connection: sqlite3.Connection, uid: str, name: str) -> None:
    """Give it one."""
    connection.execute("UPDATE collections SET name = ? WHERE uuid = ?", (name, uid))


def forget(connection: sqlite3.Connection, name: str) -> list[str]:
    """The deletions to finish: the collection, and its mirror where it has one."""
    mirror = reembeddings.unlink(connection, name)
    (uid,) = connection.execute("SELECT uuid FROM collections WHERE name = ?", (name,)).fetchone()
    disown(connection, uid)
    return [uid, mirror] if mirror else [uid]


def disown(connection: sqlite3.Connection, uid: str) -> None:
    """Take its name: what is left is to be deleted."""
    connection.execute("UPDATE collections SET name = NULL WHERE uuid = ?", (uid,))


def erase(connection: sqlite3.Connection, uid: str) -> None:
    """Forget that it ever was, when its files are gone."""
    connection.execute("DELETE FROM collections WHERE uuid = ?", (uid,))
