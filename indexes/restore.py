"""Restoring a backup into a data directory that has no data."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from indexes.backup import Progress, verify_backup
from indexes.backup_manifest import BackupManifest
from indexes.catalog_rows import SCHEMA as CATALOG_SCHEMA
from indexes.catalog_rows import SCHEMA_VERSION as CATALOG_VERSION
from indexes.catalog_rows import stored
from indexes.data_directory import BACKUPS, CATALOG, COLLECTIONS, KEYS, LOCK, PRIVATE_MODE, owned
from indexes.durable import copy_synced, discard, make_folder, move, sync
from indexes.errors import BackupConflictError, BackupError, DataDirectoryError, StoreUnavailableError
from indexes.foreign_schema import check_schema, distrust
from indexes.store_schema import SCHEMA as STORE_SCHEMA
from indexes.store_schema import SCHEMA_VERSION as STORE_VERSION

_RESTORING = ".restoring"
# What a data directory may have without having data. A backup may lie in the directory it is restored to.
_NO_DATA = {LOCK, _RESTORING, BACKUPS}


def restore(folder: Path, data_dir: Path, progress: Progress = lambda *_: None) -> BackupManifest:
    """Verify a backup, then make its data that of ``data_dir``; offline, under the lock.

    Nothing has a name there before everything is on the disk, and the catalogue, which leads to the rest, comes last.
    The backup is only read, and read through once it is known that it may go there.

    Raises:
        BackupConflictError: ``data_dir`` has data.
        BackupError: the backup is damaged or from a newer program, or ``data_dir`` cannot be written; it is as it was.
        DataDirectoryError: another process owns ``data_dir``, or it cannot be locked.
    """
    _refuse_newer(BackupManifest.read(folder))
    is_new = not data_dir.exists()
    try:
        make_folder(data_dir)
        with owned(data_dir):
            _refuse_data(data_dir)
            manifest = verify_backup(folder, progress)
            _copy(folder, manifest, data_dir)
    except BaseException as error:
        if is_new:
            discard(data_dir)
        if isinstance(error, OSError):
            raise BackupError(f"cannot restore to {data_dir}: {error}") from error
        raise
    return manifest


def _refuse_newer(manifest: BackupManifest) -> None:
    if manifest.schema_version > CATALOG_VERSION:
        raise BackupError(
            f"the backup's catalogue has schema version {manifest.schema_version}; this program knows {CATALOG_VERSION}"
        )
    for entry in manifest.collections:
        if entry.schema_version > STORE_VERSION:
            raise BackupError(
                f"collection {entry.name or entry.uuid!r} of the backup has schema version {entry.schema_version}; "
                f"this program knows {STORE_VERSION}"
            )


def _refuse_data(data_dir: Path) -> None:
    for entry in data_dir.iterdir():
        is_empty_folder = entry.name == COLLECTIONS and entry.is_dir() and not any(entry.iterdir())
        if entry.name not in _NO_DATA and not is_empty_folder:
            raise BackupConflictError(f"{data_dir} has data ({entry.name}); a backup is restored to a new directory")


def _check_database(path: Path, schema: str) -> None:
    """Whoever can write a backup can write its checksums too: what is in it must be what this program makes."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            distrust(connection)
            check_schema(connection, schema, path.name)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if path.name == CATALOG:
                stored(connection)
    except (sqlite3.Error, StoreUnavailableError, DataDirectoryError) as error:
        raise BackupError(f"{path.name} of the backup is not restored: {error}") from error
    if verdict != "ok":
        raise BackupError(f"{path.name} of the backup is damaged: {verdict}")


def _copy(folder: Path, manifest: BackupManifest, data_dir: Path) -> None:
    temporary, collections = data_dir / _RESTORING, data_dir / COLLECTIONS
    discard(temporary)
    try:
        make_folder(temporary / COLLECTIONS)
        for path, expected in manifest.files.items():
            target = temporary / path
            make_folder(target.parent)
            if copy_synced(folder / path, target, PRIVATE_MODE) != expected:
                raise BackupError(f"{folder / path} has changed while it was restored")
            sync(target.parent)
        sync(temporary / COLLECTIONS)
        for path in manifest.files:
            if path != KEYS:
                _check_database(temporary / path, CATALOG_SCHEMA if path == CATALOG else STORE_SCHEMA)
        if KEYS in manifest.files:  # first: what can be served has its keys
            move(temporary / KEYS, data_dir / KEYS)
        move(temporary / COLLECTIONS, collections)
        move(temporary / CATALOG, data_dir / CATALOG)
        os.rmdir(temporary)
    except BaseException:
        discard(data_dir / CATALOG)
        discard(data_dir / KEYS)
        discard(collections)
        raise
    finally:
        discard(temporary)
