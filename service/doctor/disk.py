"""The disk that the data is on."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from service.doctor.check import Finding, failure, ok, warning

_GIB = 1 << 30
# Free at least: the log of SQLite and a snapshot are written beside what they replace.
_LEAST_FREE = _GIB
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "lustre", "afs"}
_VOLATILE = {"tmpfs", "ramfs"}
_SLOW_FSYNC_S = 0.1


def look_at_disk(data_dir: Path) -> Iterator[Finding]:
    """May it be written to, is there room, does it keep what it is given?"""
    folder = _existing(data_dir.absolute())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield failure(
            "data directory", f"{folder} cannot be written to by this user", "change its owner, or name another"
        )
        return
    yield _writers(data_dir) if data_dir.is_dir() else ok("data directory", f"{folder} can be written to")
    yield _room(folder, _size(data_dir))
    yield _kind(file_system(folder), folder)
    yield _fsync(folder)


def file_system(folder: Path) -> str:
    """Type of the one that ``folder`` is on, as /proc/mounts has it; empty where that cannot be told."""
    mounts = psutil.disk_partitions(all=True)
    around = [mount for mount in mounts if folder.is_relative_to(mount.mountpoint)]
    return max(around, key=lambda mount: len(mount.mountpoint)).fstype if around else ""


def _writers(data_dir: Path) -> Finding:
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        found = f"{data_dir} has mode {mode:o}: others than its owner may read or write documents"
        return warning("data directory", found, f"chmod 700 {data_dir}")
    return ok("data directory", f"{data_dir} can be written to, and is its owner's alone")


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(data_dir: Path) -> int:
    """A server may be writing: what is gone by the time it is looked at takes nothing."""
    size = 0
    for path in data_dir.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def _room(folder: Path, size: int) -> Finding:
    free = psutil.disk_usage(str(folder)).free
    found = f"{free / _GIB:.1f} GiB are free, the data takes {size / _GIB:.1f} GiB"
    if free < _LEAST_FREE:
        return failure("disk space", found, "make room: writes are refused when it ends")
    if free < size:
        return warning("disk space", found, "make room: a backup, a rebuild or a re-embedding is as large as the data")
    return ok("disk space", found)


def _kind(kind: str, folder: Path) -> Finding:
    if kind in _NETWORK:
        return warning("file system", f"{folder} is on {kind}", "SQLite's locks and fsync want a local disk")
    if kind in _VOLATILE:
        return warning("file system", f"{folder} is on {kind}, which a restart empties", "name a directory on a disk")
    return ok("file system", f"{folder} is on {kind or 'one of unknown type'}")


def _fsync(folder: Path) -> Finding:
    start = time.perf_counter()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"written by quarry doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return failure("fsync", f"a file in {folder} cannot be made durable: {error.strerror}", "see the kernel's log")
    took = time.perf_counter() - start
    if took > _SLOW_FSYNC_S:
        return warning(
            "fsync", f"it took {took * 1000:.0f} ms", "every acknowledged write waits for one: use a faster disk"
        )
    return ok("fsync", f"it took {took * 1000:.1f} ms")
