"""Forward migration of a SQLite file that an older program wrote, with a copy of it kept beside it."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from indexes.durable import discard, move
from indexes.errors import MigrationError, StoreUnavailableError
from indexes.sqlite_copy import copy_database


def migrate(connection: sqlite3.Connection, path: Path, version: int, scripts: Mapping[int, str]) -> None:
    """Bring the file up to schema ``version``, one script after the other, each in a transaction with its number.

    Before the first, the file as it is is copied to ``<name>.v<its version>.bak`` and stays there.

    Args:
        connection: the only one that writes, in autocommit mode; to be closed when this raises.
        path: its file.
        scripts: SQL by the version it leads to, from the one before.

    Raises:
        MigrationError: a script is missing or fails, or the copy cannot be made. The file has the version of the last
            script that succeeded, whole.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = range(found + 1, version + 1)
    missing = [step for step in steps if step not in scripts]
    if missing:
        raise MigrationError(f"{path.name} has schema version {found}; nothing leads from it to {missing[0]}")
    kept = _back_up(connection, path, found)
    for step in steps:
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {scripts[step]}\n; PRAGMA user_version={step}; COMMIT;")
        except sqlite3.Error as error:
            raise MigrationError(
                f"{path.name} cannot be migrated to schema version {step}: {error}; its copy is {kept.name}"
            ) from error


def migration_backups(path: Path) -> list[Path]:
    """Copies that migrations of the file left beside it."""
    return sorted(path.parent.glob(f"{path.name}.v*.bak"))


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """A copy left by an attempt that was cut short is replaced: the file may have changed since."""
    kept = path.with_name(f"{path.name}.v{version}.bak")
    unfinished = kept.with_name(f"{kept.name}.writing")
    discard(unfinished)
    try:
        copy_database(connection, unfinished)
        move(unfinished, kept)
    except (OSError, sqlite3.Error, StoreUnavailableError) as error:
        discard(unfinished)
        raise MigrationError(f"{path.name} is not migrated, as it cannot be copied first: {error}") from error
    return kept
