"""The identities of the collections in a data directory, read without opening a collection, whoever has the lock."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson

from indexes.catalog_rows import is_folder_name
from indexes.data_directory import CATALOG
from indexes.errors import CollectionNotFoundError, StoreUnavailableError
from indexes.spec import CollectionSpec

_BUSY_S = 5.0


def stored_specs(data_dir: Path) -> dict[str, CollectionSpec]:
    """Name -> identity; empty where there is no data yet.

    Raises:
        StoreUnavailableError: the catalogue cannot be read.
    """
    return {name: spec for name, (_, spec) in _stored(data_dir).items()}


def stored_folder(data_dir: Path, name: str) -> tuple[str, CollectionSpec]:
    """Folder below ``COLLECTIONS``, and identity, of the collection of that name.

    Raises:
        CollectionNotFoundError: there is none; an alias is no name here.
        StoreUnavailableError: the catalogue cannot be read.
    """
    try:
        return _stored(data_dir)[name]
    except KeyError:
        raise CollectionNotFoundError(name) from None


def _stored(data_dir: Path) -> dict[str, tuple[str, CollectionSpec]]:
    path = data_dir / CATALOG
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
            rows = connection.execute("SELECT name, uuid, spec FROM collections WHERE name IS NOT NULL").fetchall()
        return {name: (uid, CollectionSpec(**orjson.loads(spec))) for name, uid, spec in rows if is_folder_name(uid)}
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error}") from error
