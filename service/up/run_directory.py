"""RunDirectory: what the parent keeps beside the data while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from service.up.errors import UpError
from service.up.log_file import LogFile
from service.up.process_record import ProcessRecord

_LOCK, _RECORD, _FLAGS = "up.lock", ".process.json", "vllm-flags.json"
_OWNER_ONLY = 0o700


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """``run`` in the data directory: sockets, logs and records, for this user alone. ``owned`` opens it."""

    path: Path

    def record(self, name: str) -> ProcessRecord:
        """Of the process ``name``."""
        return ProcessRecord(self.path / f"{quote(name, safe='')}{_RECORD}")

    def log(self, name: str) -> LogFile:
        """Of the process ``name``."""
        return LogFile(self.path / f"{quote(name, safe='')}.log")

    @property
    def flags(self) -> Path:
        """Where the flags that vLLM knows are remembered."""
        return self.path / _FLAGS

    def end_left_over(self, within_s: float) -> int:
        """End what an earlier parent has left running; how many that were."""
        records = [ProcessRecord(path) for path in sorted(self.path.glob(f"*{_RECORD}"))]
        return sum(record.end_left_over(within_s) for record in records)


@contextmanager
def owned(data_dir: Path) -> Iterator[RunDirectory]:
    """The directory, under a lock that one parent has at a time.

    Raises:
        UpError: another one has it, or it cannot be written to.
    """
    path = data_dir.absolute() / "run"
    lock = FileLock(path / _LOCK, thread_local=False)
    try:
        path.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        path.chmod(_OWNER_ONLY)
        lock.acquire(timeout=0)
    except Timeout:
        raise UpError(f"another `quarry up` runs on {data_dir}: stop it first, or name another --data-dir") from None
    except OSError as error:
        raise UpError(f"cannot use {path}: {error.strerror}") from error
    try:
        yield RunDirectory(path)
    finally:
        lock.release()
