"""A consistent copy of a SQLite file that is in use."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from indexes.durable import sync
from indexes.errors import StoreUnavailableError

Progress = Callable[[int], None]  # told of the bytes copied since it was last told

_STEP_PAGES = 4096


def copy_database(source: sqlite3.Connection, target: Path, progress: Progress = lambda _: None) -> None:
    """Copy what ``source`` sees now into one file that needs no other beside it; checked, and on the disk.

    Others go on writing meanwhile; what they commit is not in the copy.

    Args:
        source: where it is in a read transaction, what that sees is copied.
        target: a name that is free; what a failure leaves there is the caller's to remove.

    Raises:
        StoreUnavailableError: the copy fails SQLite's integrity check, so the source is damaged.
        sqlite3.Error, OSError: the source cannot be read, or the target not be written.
    """
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode=OFF")
        copy.execute("PRAGMA synchronous=OFF")  # synced below, once
        _copy_pages(source, copy, progress)
        copy.execute("PRAGMA journal_mode=DELETE")  # a file in WAL mode cannot be read from a read-only medium
        verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreUnavailableError(f"the database is damaged: {verdict}")
    sync(target)


def _copy_pages(source: sqlite3.Connection, copy: sqlite3.Connection, progress: Progress) -> None:
    page_bytes = int(source.execute("PRAGMA page_size").fetchone()[0])
    left: int | None = None

    def stepped(_status: int, remaining: int, total: int) -> None:
        nonlocal left
        progress(((total if left is None else left) - remaining) * page_bytes)
        left = remaining

    with fixed_view(source):
        source.backup(copy, pages=_STEP_PAGES, progress=stepped)


@contextmanager
def fixed_view(connection: sqlite3.Connection) -> Iterator[None]:
    """What the connection sees stays as it is; inside another one this changes nothing.

    Without it a commit between two steps of a copy would restart the copy, and copies of busy files would never end.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # BEGIN alone reads nothing yet
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
