"""A data directory as files: who owns it, and where its databases are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from indexes.errors import DataDirectoryError

CATALOG, COLLECTIONS, STORE, LOCK = "catalog.db", "collections", "store.db", "lock"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One whose collections nobody has opened; made by ``owned``."""

    data_dir: Path

    def unchanging(self) -> AbstractContextManager[None]:
        """Nobody else is there to create or drop a collection."""
        return nullcontext()


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


@contextmanager
def owned(data_dir: Path) -> Iterator[DataDirectory]:
    """Hold the directory's lock, which one process has at a time.

    Raises:
        DataDirectoryError: another one has it, or the directory cannot be written to.
    """
    lock = FileLock(data_dir / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataDirectoryError(f"{data_dir} is in use by another process") from None
    except OSError as error:
        raise DataDirectoryError(f"cannot lock {data_dir}: {error.strerror}") from error
    try:
        yield DataDirectory(data_dir)
    finally:
        lock.release()
