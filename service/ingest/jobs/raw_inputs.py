"""RawInputs: the bytes of jobs as they came, each in a file that is whole on the disk before its job is accepted."""

import hashlib
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from indexes.durable import make_folder, move, sync
from indexes.errors import StoreUnavailableError
from service.ingest.jobs.job import Raw

_BLOCK_BYTES = 1 << 20
_INCOMING = ".incoming"


class Incoming:
    """A raw input that is being received. Not on the disk before ``RawInputs.keep``; one thread at a time.

    Attributes:
        path: its file.
        arrived_bytes: that the server has of it, in the file or on the way there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrived_bytes = 0
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self._bytes = 0

    @property
    def raw(self) -> Raw:
        """What came so far."""
        return Raw(self._bytes, self._digest.digest())

    def write(self, data: bytes) -> None:
        """Take some bytes on.

        Raises:
            StoreUnavailableError: the disk takes no more.
        """
        with _told():
            self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def copy(self, source: BinaryIO) -> None:
        """Take on all that ``source`` has, in blocks.

        Raises:
            StoreUnavailableError: as ``write``.
        """
        while block := source.read(_BLOCK_BYTES):
            self.write(block)

    def finish(self) -> None:
        """There is no more to come.

        Raises:
            StoreUnavailableError: as ``write``.
        """
        with _told():
            self._file.close()

    def discard(self) -> None:
        """Remove it, where it was not kept."""
        with _told():
            try:
                self._file.close()  # which writes what is left, and may fail at that
            finally:
                self.path.unlink(missing_ok=True)


class RawInputs:
    """Files by the ids of their jobs."""

    def __init__(self, folder: Path) -> None:
        with _told():
            make_folder(folder)
        self._folder = folder

    def path(self, job_id: str) -> Path:
        """Where the raw input of a job is, as long as the job is open."""
        return self._folder / job_id

    def receive(self) -> Incoming:
        """A new one.

        Raises:
            StoreUnavailableError: no file can be made.
        """
        with _told():
            return Incoming(self._folder / f"{uuid.uuid4().hex}{_INCOMING}")

    def keep(self, incoming: Incoming, job_id: str) -> None:
        """Make it the raw input of a job; on the disk when this returns.

        Raises:
            StoreUnavailableError: it could not be brought there, and is removed.
        """
        try:
            incoming.finish()
            with _told():
                sync(incoming.path)
                move(incoming.path, self.path(job_id))
        except BaseException:
            incoming.path.unlink(missing_ok=True)
            self.remove(job_id)
            raise

    def remove(self, job_id: str) -> None:
        """Delete it, if it is there.

        Raises:
            StoreUnavailableError: it cannot be removed.
        """
        with _told():
            self.path(job_id).unlink(missing_ok=True)

    def remove_all_but(self, job_ids: Collection[str]) -> int:
        """Delete what no open job has, as a crash leaves it, and say how much that was."""
        with _told():
            orphans = [path for path in self._folder.iterdir() if path.name not in job_ids]
            for path in orphans:
                path.unlink()
        return len(orphans)

    def is_whole(self, job_id: str, raw: Raw) -> bool:
        """Whether every byte is what was received."""
        try:
            with self.path(job_id).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
                return file.tell() == raw.size and digest == raw.sha256
        except OSError:
            return False


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"the raw input of a job cannot be written: {error.strerror}") from error
