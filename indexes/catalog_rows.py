"""The rows of collections in the catalogue, and its schema."""

import re
import sqlite3
from dataclasses import asdict

import orjson

from indexes import aliases, preferences, reembeddings
from indexes.errors import DataDirectoryError
from indexes.spec import CollectionSpec

SCHEMA_VERSION = 3
_UID = re.compile("[0-9a-f]{32}")
SCHEMA = f"""
CREATE TABLE collections (
    uuid TEXT PRIMARY KEY, name TEXT UNIQUE, spec TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
{aliases.TABLE} {reembeddings.TABLE}
"""
# By the version they lead to.
MIGRATIONS = {
    2: f"{aliases.TABLE} {reembeddings.TABLE}",
    # One that cannot be read costs its own collection only, when that is opened.
    3: "UPDATE collections SET spec = json_set(spec, '$.language', 'unicode') WHERE json_valid(spec);",
}


def is_folder_name(uid: object) -> bool:
    """Whether it is what this program names a collection's folder by."""
    return isinstance(uid, str) and _UID.fullmatch(uid) is not None


def stored(connection: sqlite3.Connection) -> list[tuple[str, str | None, str]]:
    """(uuid, name, spec) of every collection, those with a name first.

    Raises:
        DataDirectoryError: a uuid is none: it would lead to files elsewhere, and those of what has no name are removed.
    """
    rows = connection.execute("SELECT uuid, name, spec FROM collections ORDER BY name IS NULL").fetchall()
    for uid, _, _ in rows:
        if not is_folder_name(uid):
            raise DataDirectoryError(f"the catalogue has a collection in {str(uid)[:80]!r}, which is not ours")
    return rows


def remember(connection: sqlite3.Connection, uid: str, spec: CollectionSpec) -> None:
    """Insert a collection that has no name yet."""
    connection.execute(
        "INSERT INTO collections (uuid, name, spec) VALUES (?, NULL, ?)", (uid, orjson.dumps(asdict(spec)).decode())
    )


def name(connection: sqlite3.Connection, uid: str, name: str) -> None:
    """Give it its name, and nothing of another one that had it."""
    connection.execute("UPDATE collections SET name = ? WHERE uuid = ?", (name, uid))
    preferences.forget(connection, name)


def forget(connection: sqlite3.Connection, name: str) -> list[str]:
    """Take away the name of a collection, and its mirror where it has one.

    Returns:
        The deletions to finish, by uuid.
    """
    mirror = reembeddings.unlink(connection, name)
    (uid,) = connection.execute("SELECT uuid FROM collections WHERE name = ?", (name,)).fetchone()
    disown(connection, uid)
    preferences.forget(connection, name)
    return [uid, mirror] if mirror else [uid]


def disown(connection: sqlite3.Connection, uid: str) -> None:
    """Take away its name."""
    connection.execute("UPDATE collections SET name = NULL WHERE uuid = ?", (uid,))


def erase(connection: sqlite3.Connection, uid: str) -> None:
    """Delete its row: nothing of it is left on the disk."""
    connection.execute("DELETE FROM collections WHERE uuid = ?", (uid,))
