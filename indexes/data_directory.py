"""A data directory as files: who owns it, where its databases are, and whether there is room for more."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from indexes.errors import DataDirectoryError, DataDirectoryInUseError

CATALOG, COLLECTIONS, STORE, LOCK, BACKUPS = "catalog.db", "collections", "store.db", "lock", "backups"
# Beside the store of a collection, derived from it and disposable.
SNAPSHOTS, LEXICAL = "snapshots", "lexical"
# Who may ask: hashes, in a form that is none of this room's, but that belongs to the data and goes into backups.
KEYS = "keys.json"
PRIVATE_MODE = 0o600  # of KEYS, wherever it lies, and of all that is restored

# The longest text that is taken, 5,000,000 characters, makes some 15,000 chunks: with their vectors of 1,024 dimensions
# about 110 MB. They stand in the log before they stand in the file, and a write that finds no room fails.
LEAST_FREE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One whose collections nobody has opened; made by ``owned``."""

    data_dir: Path

    def unchanging(self) -> AbstractContextManager[None]:
        """Nobody else is there to create or drop a collection."""
        return nullcontext()


def has_room(data_dir: Path) -> bool:
    """The file system has ``LEAST_FREE_BYTES`` for this user; not where it cannot even be asked."""
    try:
        return shutil.disk_usage(data_dir).free >= LEAST_FREE_BYTES
    except OSError:
        return False


def is_owned(data_dir: Path) -> bool:
    """Whether a process has the directory now; False where there is none, or where this one may not look."""
    try:
        if not (data_dir / LOCK).is_file():
            return False
        with FileLock(data_dir / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def refuse_lost_catalog(data_dir: Path) -> None:
    """Without its catalogue a directory would look empty, and what is stored would stay beside it, unnamed.

    Raises:
        DataDirectoryError: there are stores, and ``CATALOG`` is missing or empty.
    """
    catalog = data_dir / CATALOG
    if catalog.is_file() and catalog.stat().st_size:
        return
    stores = len(list((data_dir / COLLECTIONS).glob(f"*/{STORE}")))
    if stores:
        raise DataDirectoryError(
            f"{catalog} is missing or empty, and {data_dir / COLLECTIONS} has the stores of {stores} collections: put "
            "it back, or restore a backup to a new directory"
        )


@contextmanager
def owned(data_dir: Path) -> Iterator[DataDirectory]:
    """Hold the directory's lock, which one process has at a time.

    Raises:
        DataDirectoryInUseError: another one has it.
        DataDirectoryError: the directory cannot be written to.
    """
    lock = FileLock(data_dir / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataDirectoryInUseError(data_dir) from None
    except OSError as error:
        raise DataDirectoryError(
            f"cannot lock {data_dir}, which has to be writable for that: {error.strerror}"
        ) from error
    try:
        yield DataDirectory(data_dir)
    finally:
        lock.release()
