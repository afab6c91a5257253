"""Rows of a catalogue's table of collections. Each function runs inside the writer's transaction."""

import sqlite3
from dataclasses import asdict

import orjson

from indexes import preferences, reembeddings
from indexes.spec import CollectionSpec


def remember(connection: sqlite3.Connection, uid: str, spec: CollectionSpec) -> None:
    """A collection that has no name yet."""
    connection.execute(
        "INSERT INTO collections (uuid, name, spec) VALUES (?, NULL, ?)", (uid, orjson.dumps(asdict(spec)).decode())
    )


def give_name(connection: sqlite3.Connection, uid: str, name: str) -> None:
    """A new collection gets its name, and nothing of another one that had it."""
    connection.execute("UPDATE collections SET name = ? WHERE uuid = ?", (name, uid))
    preferences.forget(connection, name)


def forget(connection: sqlite3.Connection, name: str) -> list[str]:
    """The deletions to finish: the collection, and its mirror where it has one."""
    mirror = reembeddings.unlink(connection, name)
    (uid,) = connection.execute("SELECT uuid FROM collections WHERE name = ?", (name,)).fetchone()
    disown(connection, uid)
    preferences.forget(connection, name)
    return [uid, mirror] if mirror else [uid]


def disown(connection: sqlite3.Connection, uid: str) -> None:
    """What is left is a deletion to finish."""
    connection.execute("UPDATE collections SET name = NULL WHERE uuid = ?", (uid,))


def erase(connection: sqlite3.Connection, uid: str) -> None:
    """Nothing is left."""
    connection.execute("DELETE FROM collections WHERE uuid = ?", (uid,))
