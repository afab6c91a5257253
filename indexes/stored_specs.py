"""The identities of the collections in a data directory, read without opening a collection, whoever has the lock."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson

from indexes.data_directory import CATALOG
from indexes.errors import StoreUnavailableError
from indexes.spec import CollectionSpec

_BUSY_S = 5.0


def stored_specs(data_dir: Path) -> dict[str, CollectionSpec]:
    """Name -> identity; empty where there is no data yet.

    Raises:
        StoreUnavailableError: the catalogue cannot be read.
    """
    path = data_dir / CATALOG
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
            rows = connection.execute("SELECT name, spec FROM collections WHERE name IS NOT NULL").fetchall()
        return {name: CollectionSpec(**orjson.loads(spec)) for name, spec in rows}
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error}") from error
