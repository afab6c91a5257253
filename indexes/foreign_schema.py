"""SQLite files that are not what this program makes: their schema would be obeyed by whoever opens them.

A trigger runs with every write, a view or a virtual table stands where a table should be, a generated column computes.
What is ours has tables and indexes alone, by the names that the schema in this program has.
"""

import sqlite3
from contextlib import closing

from indexes.errors import StoreUnavailableError


def distrust(connection: sqlite3.Connection) -> None:
    """Let nothing in the file's schema call a function that does something; check cells before they are followed."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")


def check_kinds(connection: sqlite3.Connection, name: str) -> None:
    """Whatever the version of the schema, it has tables of plain columns, and indexes.

    Args:
        name: of the file, for the error.

    Raises:
        StoreUnavailableError: it has something else; names it.
        sqlite3.Error: it cannot be read.
    """
    for type_, found in connection.execute("SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"):
        raise StoreUnavailableError(f"{name} has a {type_} {str(found)[:80]!r}: this program never makes one")
    for table, (type_, columns) in _tables(connection).items():
        if type_ != "table" or any(columns.values()):
            raise StoreUnavailableError(f"{name} has {table[:80]!r}, which is no table of plain columns")


def check_schema(connection: sqlite3.Connection, schema: str, name: str) -> None:
    """It has nothing but what ``schema``, the DDL of a new file, makes; older programs made less of it.

    Raises:
        StoreUnavailableError: as ``check_kinds``, which it does first.
        sqlite3.Error: it cannot be read.
    """
    check_kinds(connection, name)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        fresh.executescript(schema)
        tables, indexes = _tables(fresh), _indexes(fresh)
    for table, (_, columns) in _tables(connection).items():
        if table not in tables or columns.keys() - tables[table][1].keys():
            raise StoreUnavailableError(f"{name} has {table[:80]!r} otherwise than this program makes it, if at all")
    for index, sql in _indexes(connection).items():
        if indexes.get(index) != sql:
            raise StoreUnavailableError(f"{name} has an index {index[:80]!r} that this program never makes")


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[str, dict[str, int]]]:
    """By name: what it is, and by column 0 where it is neither generated nor hidden. SQLite's own are left out."""
    listed = connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall()
    columns = "SELECT name, hidden FROM pragma_table_xinfo(?)"
    return {
        name: (type_, dict(connection.execute(columns, (name,)).fetchall()))
        for name, type_ in listed
        if not name.startswith("sqlite_")
    }


def _indexes(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
