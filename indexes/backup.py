"""Backups: a copy of the truth that is made while the collections serve, verified, and restored whole or not at all.

Indexes and their snapshots are derived from the stores, so a backup has none. It has the file of keys, if there is one.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from indexes.backup_manifest import BackupManifest, CollectionEntry, LeftOut
from indexes.catalog_rows import SCHEMA_VERSION as CATALOG_VERSION
from indexes.catalog_rows import stored
from indexes.data_directory import BACKUPS, CATALOG, COLLECTIONS, KEYS, PRIVATE_MODE, STORE
from indexes.durable import Checksum, copy_synced, discard, make_folder, move, sync
from indexes.errors import BackupConflictError, BackupError, IndexesError, NewerDataError
from indexes.sqlite_copy import copy_database, fixed_view
from indexes.store_schema import SCHEMA_VERSION as STORE_VERSION

Progress = Callable[[int, int], None]  # bytes done, bytes expected; what is written meanwhile can make it more


class CatalogFiles(Protocol):
    """A ``Catalog`` that serves, or a ``DataDirectory`` that nobody has opened."""

    @property
    def data_dir(self) -> Path:
        """Where its files are."""

    def unchanging(self) -> AbstractContextManager[None]:
        """While this is held no collection is created, dropped or renamed."""


@dataclass(slots=True)
class _Meter:
    progress: Progress
    expected: int
    done: int = 0

    def advance(self, count: int) -> None:
        self.done += count
        self.progress(self.done, max(self.done, self.expected))


@dataclass(slots=True)
class _View:
    """Every database as it is at one moment, however long copying takes and whatever is dropped meanwhile."""

    taken_at: str
    catalog: Path  # a copy already: it is small, and says what to look at
    stores: dict[str, sqlite3.Connection] = field(default_factory=dict)  # by uuid, each in a read transaction
    names: dict[str, str | None] = field(default_factory=dict)
    bytes: int = 0
    skip_damaged: bool = False
    left_out: list[LeftOut] = field(default_factory=list)

    def leave_out(self, uid: str, reason: str) -> None:
        """Go on without a collection.

        Raises:
            BackupError: nobody asked for that.
        """
        name = self.names.pop(uid)
        if not self.skip_damaged:
            raise BackupError(f"collection {name or uid!r} {reason}; skip_damaged makes a backup without it")
        self.left_out.append(LeftOut(name, uid, reason))


def back_up(
    catalog: CatalogFiles, folder: Path, progress: Progress = lambda *_: None, *, skip_damaged: bool = False
) -> BackupManifest:
    """Copy the catalogue and every store, all as of one moment; reads and writes go on meanwhile.

    Args:
        folder: is new or empty; it is there when this returns and not before.
        skip_damaged: leave out collections that cannot be read, and name them in the manifest.

    Returns:
        What was copied, with the checksum of every file.

    Raises:
        BackupConflictError: ``folder`` has something in it, or another backup is being written to it.
        NewerDataError: the catalogue is of a newer program.
        BackupError: ``folder`` is among the data, a database cannot be read, or ``folder`` not be written; no trace of
            it is left.
    """
    folder = folder.absolute()
    _refuse_among_data(folder, catalog.data_dir)
    _refuse_what_is_there(folder)
    with _unfinished(folder) as temporary, ExitStack() as opened:
        view = _looked_at(catalog, temporary, opened, skip_damaged=skip_damaged)
        meter = _Meter(progress, view.bytes)
        copied = [_copied(view, uid, temporary, meter) for uid in sorted(view.names)]
        collections = tuple(entry for entry in copied if entry is not None)
        paths = sorted([*temporary.rglob("*.db"), *temporary.glob(KEYS)])
        files = {str(path.relative_to(temporary)): Checksum.of_file(path) for path in paths}
        schema = _schema_version(view.catalog)
        manifest = BackupManifest(view.taken_at, version("quarry"), schema, collections, files, tuple(view.left_out))
        manifest.write(temporary)
        for below in sorted(path for path in temporary.rglob("*") if path.is_dir()):
            sync(below)
        sync(temporary)
        move(temporary, folder)
    return manifest


def verify_backup(folder: Path, progress: Progress = lambda *_: None) -> BackupManifest:
    """Read every byte of a backup.

    Raises:
        BackupError: it is none, or a file of it is missing or damaged.
    """
    manifest = BackupManifest.read(folder)
    meter = _Meter(progress, manifest.bytes)
    for path, expected in manifest.files.items():
        try:
            if (folder / path).resolve() != folder.resolve() / path:
                raise BackupError(f"{folder / path} is a link that leads out of the backup")
            found = Checksum.of_file(folder / path)
        except OSError as error:
            raise BackupError(f"the backup cannot be read: {error}") from error
        if found != expected:
            raise BackupError(f"{folder / path} is damaged: it is not what {folder} says it should be")
        meter.advance(found.bytes)
    return manifest


def _refuse_among_data(folder: Path, data_dir: Path) -> None:
    """A folder there might be taken for data, or go with it. ``BACKUPS`` is neither read nor removed by anything."""
    resolved, data_dir = folder.resolve(), data_dir.resolve()
    if resolved.is_relative_to(data_dir) and data_dir / BACKUPS not in resolved.parents:
        raise BackupError(
            f"{folder} is inside the data directory {data_dir}; a backup goes to another place, or below "
            f"{data_dir / BACKUPS}"
        )


def _refuse_what_is_there(folder: Path) -> None:
    if os.path.ismount(folder):
        raise BackupConflictError(f"{folder} is a mount point; a backup goes to a new folder in it")
    try:
        if any(folder.iterdir()):
            raise BackupConflictError(f"{folder} is not empty; a backup goes to a new folder")
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupConflictError(f"{folder} cannot take a backup: {error}") from error


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder``, on the same file system, that does not outlive a failure."""
    temporary = folder.with_name(f".{folder.name}.writing")
    try:
        make_folder(folder.parent)
        if temporary.exists():
            raise BackupConflictError(f"{temporary} is there: a backup is being written, or was cut short; see to it")
        os.mkdir(temporary, 0o700)
    except OSError as error:
        there = next(parent for parent in folder.parents if os.path.lexists(parent))
        raise BackupError(f"cannot write to {there}: {error.strerror}") from error
    try:
        yield temporary
    except (OSError, sqlite3.Error) as error:
        discard(temporary)
        raise BackupError(f"the backup to {folder} failed: {error}") from error
    except BaseException:
        discard(temporary)
        raise


def _looked_at(catalog: CatalogFiles, temporary: Path, opened: ExitStack, *, skip_damaged: bool) -> _View:
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    view = _View(taken_at, temporary / CATALOG, skip_damaged=skip_damaged)
    with catalog.unchanging():
        with closing(_connected(catalog.data_dir / CATALOG)) as live:
            _refuse_newer(live, CATALOG_VERSION)
            copy_database(live, view.catalog)
        keys = catalog.data_dir / KEYS
        if os.path.lexists(keys):  # replaced as a whole when it changes, so one reading of it is of one moment
            copy_synced(keys, temporary / KEYS, PRIVATE_MODE)
        view.names = _without_deletions(view.catalog)
        for uid in list(view.names):
            path = catalog.data_dir / COLLECTIONS / uid / STORE
            try:
                connection = opened.enter_context(closing(_connected(path)))
                opened.enter_context(fixed_view(connection))
                _refuse_newer(connection, STORE_VERSION)
            except (sqlite3.Error, NewerDataError) as error:
                view.leave_out(uid, f"cannot be read: {error}")
                continue
            view.stores[uid] = connection
            view.bytes += path.stat().st_size
    return view


def _connected(path: Path) -> sqlite3.Connection:
    """To a file that must exist. Not read-only: with nobody else there, the log has to be recovered first."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10)
    try:
        connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_newer(connection: sqlite3.Connection, known: int) -> None:
    """What this program cannot read it cannot vouch for either, and no program would restore the copy as its own."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > known:
        raise NewerDataError(f"it has schema version {found}, written by a newer program; this one knows {known}")


def _without_deletions(catalog: Path) -> dict[str, str | None]:
    """Name by uuid of what is to be copied. A collection without a name that nothing refers to is half deleted."""
    with closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        for (uid,) in connection.execute("SELECT uuid FROM collections WHERE name IS NULL").fetchall():
            try:
                connection.execute("DELETE FROM collections WHERE uuid = ?", (uid,))
            except sqlite3.IntegrityError:
                continue  # something refers to it
        names = {uid: name for uid, name, _ in stored(connection)}
    sync(catalog)
    return names


def _copied(view: _View, uid: str, temporary: Path, meter: _Meter) -> CollectionEntry | None:
    """Copy a store, unless it is left out. Its view is given up at once: while it is held, its log can only grow."""
    target = temporary / COLLECTIONS / uid / STORE
    make_folder(target.parent)
    connection = view.stores.pop(uid)
    try:
        copy_database(connection, target, meter.advance)
        connection.execute("ROLLBACK")
        documents, chunks = _counts(target)
    except (sqlite3.Error, IndexesError) as error:
        discard(target.parent)
        view.leave_out(uid, f"cannot be copied: {error}")
        return None
    return CollectionEntry(view.names[uid], uid, documents, chunks, _schema_version(target))


def _counts(store: Path) -> tuple[int, int]:
    with closing(_copy_opened(store)) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)").fetchone()
    return int(row[0]), int(row[1])


def _schema_version(path: Path) -> int:
    with closing(_copy_opened(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _copy_opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
