"""Files that survive a power cut: what is written is on the disk before anything names it."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexes.plain_file import opened

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """Length in bytes and SHA-256 of a file, as a manifest keeps them."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, data: "Buffer") -> "Checksum":
        """Of bytes in memory, which must be contiguous."""
        view = memoryview(data).cast("B")
        return cls(view.nbytes, hashlib.sha256(view).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> "Checksum":
        """Of a file, read in blocks.

        Raises:
            OSError: it cannot be read, or is no plain file.
        """
        with opened(path) as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(file.tell(), digest.hexdigest())

    @classmethod
    def from_json(cls, raw: Any) -> "Checksum":  # noqa: ANN401  what JSON holds
        """From what ``dataclasses.asdict`` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        size, sha256 = raw["bytes"], raw["sha256"]
        if type(size) is not int or size < 0 or not isinstance(sha256, str):
            raise TypeError(f"{str(raw)[:100]} is no checksum")
        return cls(size, sha256)


def write_synced(path: Path, data: "Buffer") -> None:
    """Write a file that is on the disk when this returns; its name is only once ``sync`` was called on its folder."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(memoryview(data).cast("B"))
        file.flush()
        os.fsync(file.fileno())


def copy_synced(source: Path, target: Path, mode: int = 0o666) -> Checksum:
    """Copy a file in blocks; on the disk when this returns.

    Args:
        mode: of a new file, before the umask; from its first byte on.

    Returns:
        Of the bytes that were written.

    Raises:
        OSError: as ``plain_file.opened``; or the disk refuses.
    """
    digest, size = hashlib.sha256(), 0
    opener = partial(os.open, mode=mode)
    with opened(source) as reading, open(target, "wb", opener=opener) as writing:
        while block := reading.read(_BLOCK_BYTES):
            digest.update(block)
            size += writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return Checksum(size, digest.hexdigest())


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Give a file or folder its name, replacing a file that has it; on the disk when this returns."""
    os.replace(source, target)
    sync(target.parent)


def discard(path: Path) -> None:
    """Remove a file or a folder as far as that is possible, after a failure that is about to be reported."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return


def make_folder(folder: Path) -> None:
    """Make a folder and the parents it lacks, for nobody but their owner; their names survive a power cut.

    SQLite, ``move`` and the like sync only the names in it. One that is there already may have been made a moment ago.

    Raises:
        OSError: one cannot be made.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync(folder.parent)
