"""Guard: a write to one document by somebody for whom not every document exists."""

import sqlite3
from collections.abc import Callable

import orjson

from indexes.filters import Filter, matches
from indexes.operations import version_of
from indexes.store import Change

Work = Callable[[sqlite3.Connection], Change]


def guarded(work: Work, document_id: str, guard: Filter | None) -> Work:
    """``work``, which changes nothing where the document that is there does not pass ``guard``: ``hidden``.

    Inside the transaction of the write: of two writers, each of whom finds nothing, one would else replace what the
    other has just stored.
    """
    if guard is None:
        return work

    def checked(connection: sqlite3.Connection) -> Change:
        row = connection.execute("SELECT metadata FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is not None and not matches(guard, orjson.loads(row[0])):
            return Change("hidden", version_of(connection))
        return work(connection)

    return checked
