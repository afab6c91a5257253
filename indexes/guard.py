"""Guard: a write to one document by somebody for whom not every document exists."""

import sqlite3
from collections.abc import Callable

import orjson

from indexes.filters import Filter, matches
from indexes.operations import version_of
from indexes.store import Change

Work = Callable[[sqlite3.Connection], Change]


def _refused(connection: sqlite3.Connection) -> Change:
    return Change("hidden", version_of(connection))


def guarded(work: Work, document_id: str, guard: Filter | None, otherwise: Work = _refused) -> Work:
    """``work``, or ``otherwise`` where the document that is there does not pass ``guard``.

    Inside the transaction of the write: of two writers, each of whom finds nothing, one would else replace what the
    other has just stored.

    Args:
        otherwise: changes nothing of what is there; if left out the outcome is ``hidden``.
    """
    if guard is None:
        return work

    def checked(connection: sqlite3.Connection) -> Change:
        row = connection.execute("SELECT metadata FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is not None and not matches(guard, orjson.loads(row[0])):
            return otherwise(connection)
        return work(connection)

    return checked
