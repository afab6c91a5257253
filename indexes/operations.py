"""The log of operations: the version each made, and what comes too late because a later one was applied before it."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from indexes.errors import InvalidFilterError
from indexes.filters import Filter, matches, parse_filter, to_json

MAX_FILTER_BYTES = 64 << 10


def check_storable(filter: Filter) -> None:
    """The log keeps the filter of every deletion for ever.

    Raises:
        InvalidFilterError: it takes more than ``MAX_FILTER_BYTES`` as JSON.
    """
    size = len(json.dumps(to_json(filter)))
    if size > MAX_FILTER_BYTES:
        raise InvalidFilterError("filter", f"takes {size} bytes as JSON; the limit of a deletion is {MAX_FILTER_BYTES}")


def version_of(connection: sqlite3.Connection) -> int:
    """Version of the last operation."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'operations'").fetchone()
    return 0 if row is None else int(row[0])


def log(
    connection: sqlite3.Connection, seq: int, kind: str, document_id: str = "", filter: Filter | None = None
) -> int:
    """Note an operation on a document, on all that pass a filter, or on the document of an id if it passes one.

    Returns:
        The version it makes.
    """
    text = None if filter is None else json.dumps(to_json(filter))  # orjson has no integers beyond 64 bits
    cursor = connection.execute(
        "INSERT INTO operations (seq, kind, document_id, filter) VALUES (?, ?, ?, ?)", (seq, kind, document_id, text)
    )
    return int(cursor.lastrowid or 0)


def superseded(connection: sqlite3.Connection, document_id: str, seq: int) -> bool:
    """Whether an operation on the document that was accepted after ``seq`` has been applied."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT seq FROM operations WHERE document_id = ?1 AND filter IS NULL "
        "ORDER BY seq DESC LIMIT 1), 0), "
        "coalesce((SELECT seq FROM documents WHERE id = ?1), 0))",
        (document_id,),
    ).fetchone()
    return int(row[0]) > seq


def deleted_since(connection: sqlite3.Connection, document_id: str, metadata: Mapping[str, Any], seq: int) -> bool:
    """Whether documents like this one were deleted by an operation that was accepted after ``seq``."""
    found = connection.execute(
        "SELECT filter FROM operations WHERE seq > ? AND filter IS NOT NULL AND document_id IN ('', ?)",
        (seq, document_id),
    )
    return any(matches(parse_filter(json.loads(text)), metadata) for (text,) in found)
