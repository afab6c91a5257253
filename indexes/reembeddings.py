"""Reembeddings: pairs of collections that hold the same documents, of which one at a time has the name.

The collection that has the name is the primary and the truth; the other is its mirror and has no name. Functions that
take a connection run inside the writer's transaction.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from indexes import aliases
from indexes.named import Named

if TYPE_CHECKING:  # that file brings FAISS, a second that a backup and the command line need not wait for
    from indexes.collection import Collection

TABLE = """
CREATE TABLE reembeddings (
    name TEXT PRIMARY KEY, source_uuid TEXT NOT NULL REFERENCES collections(uuid),
    target_uuid TEXT NOT NULL REFERENCES collections(uuid), state TEXT NOT NULL);
"""

State = Literal["building", "switched", "rolling_back", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Reembedding:
    """One of them, as long as both collections exist.

    Attributes:
        state: ``building`` and ``rolling_back`` end with the name at the mirror, as ``switched`` and ``rolled_back``.
        mirror: the collection without the name; None where its files are damaged.
        damage: why it could not be opened.
    """

    state: State
    mirror: "Collection | None"
    damage: str = ""

    @property
    def is_moving(self) -> bool:
        """The name is to go to the mirror as soon as that has every document."""
        return self.state in {"building", "rolling_back"}


@dataclass(frozen=True, slots=True)
class Route(Named):
    """Where a name leads now, for who may write there."""

    primary: "Collection"
    reembedding: Reembedding | None = None

    @property
    def mirror(self) -> "Collection | None":
        """The collection that writes go to as well."""
        return self.reembedding.mirror if self.reembedding else None

    @property
    def collections(self) -> "Sequence[Collection]":
        """Those that a write goes to, the primary first."""
        return [self.primary, self.mirror] if self.mirror else [self.primary]

    @property
    def target(self) -> "Collection | None":
        """Of the two, the one that was made later."""
        if self.reembedding is None:
            return None
        return self.primary if self.reembedding.state in {"switched", "rolling_back"} else self.reembedding.mirror


def unnamed(connection: sqlite3.Connection) -> dict[str, tuple[str, State]]:
    """Name and state of every pair, by the uuid of its mirror."""
    rows = connection.execute(
        "SELECT CASE c.uuid WHEN r.source_uuid THEN r.target_uuid ELSE r.source_uuid END, r.name, r.state "
        "FROM reembeddings r JOIN collections c ON c.name = r.name"
    ).fetchall()
    return {uid: (name, state) for uid, name, state in rows}


def link(connection: sqlite3.Connection, name: str, uid: str) -> None:
    """Pair the collection of that name with ``uid``, which is to take the name over."""
    connection.execute(
        "INSERT INTO reembeddings (name, source_uuid, target_uuid, state) "
        "SELECT name, uuid, ?, 'building' FROM collections WHERE name = ?",
        (uid, name),
    )


def mark(connection: sqlite3.Connection, name: str, state: State) -> None:
    """Note a state that leaves the name where it is."""
    connection.execute("UPDATE reembeddings SET state = ? WHERE name = ?", (state, name))


def move(connection: sqlite3.Connection, name: str, state: State) -> None:
    """Give the name, with its aliases, to the mirror."""
    (mirror,) = [uid for uid, (linked, _) in unnamed(connection).items() if linked == name]
    (primary,) = connection.execute("SELECT uuid FROM collections WHERE name = ?", (name,)).fetchone()
    connection.execute("UPDATE collections SET name = NULL WHERE uuid = ?", (primary,))
    connection.execute("UPDATE collections SET name = ? WHERE uuid = ?", (name, mirror))
    aliases.follow(connection, primary, mirror)
    mark(connection, name, state)


def unlink(connection: sqlite3.Connection, name: str) -> str | None:
    """Forget the pair.

    Returns:
        uuid of the mirror, which from now on is a deletion to finish; None where there was no pair.
    """
    mirror = next((uid for uid, (linked, _) in unnamed(connection).items() if linked == name), None)
    connection.execute("DELETE FROM reembeddings WHERE name = ?", (name,))
    return mirror
