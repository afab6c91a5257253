"""A data directory as files: who owns it, and where its databases are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from indexes.errors import DataDirectoryError, DataDirectoryInUseError

CATALOG, COLLECTIONS, STORE, LOCK, BACKUPS = "catalog.db", "collections", "store.db", "lock", "backups"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One whose collections nobody has opened; made by ``owned``."""

    data_dir: Path

    def unchanging(self) -> AbstractContextManager[None]:
        """Nobody else is there to create or drop a collection."""
        return nullcontext()


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
