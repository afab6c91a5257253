"""Snapshots of an index on disk: written whole or not at all, and never handed out damaged.

    folder/
        CURRENT                      the name of the snapshot that counts
        00000007-<sha256>/           the name carries the SHA-256 of the manifest ...
            manifest.json            ... which has length and SHA-256 of every file
            <files>

So CURRENT pins the manifest and the manifest pins the files; an older snapshot vouches for itself when CURRENT is lost.
A snapshot is derived data: whoever finds none builds the index again from the store.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from indexes.durable import Checksum, discard, move, sync, write_synced
from indexes.errors import SnapshotError
from indexes.plain_file import opened, read_at_most

if TYPE_CHECKING:
    from typing_extensions import Buffer

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | tuple[JSON, ...] | str | int | float | bool | None"
Report = Callable[[str], None]

_FORMAT = 1
# What the others say of themselves is short: the curve of an index has a few hundred points.
_MOST_CURRENT_BYTES, _MOST_MANIFEST_BYTES = 4096, 16 << 20
_KEPT = 2
_CURRENT, _MANIFEST = "CURRENT", "manifest.json"
_NAME = re.compile(r"([0-9]{8})-([0-9a-f]{64})")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# Names that a crash may leave behind; none of them is ever loaded.
_WRITING, _REMOVING, _NEXT_CURRENT = ".writing", ".removing-", ".CURRENT"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot whose every byte was verified.

    Attributes:
        name: unique in its folder; a later one sorts behind.
        facts: what the writer said about it.
        files: the bytes that were verified, by name; nothing was read twice.
    """

    name: str
    facts: Mapping[str, JSON]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Manifest:
    facts: Mapping[str, JSON]
    files: Mapping[str, Checksum]

    def to_bytes(self) -> bytes:
        files = {name: asdict(checksum) for name, checksum in self.files.items()}
        return orjson.dumps({"format": _FORMAT, "facts": self.facts, "files": files}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> "_Manifest":
        try:
            raw = orjson.loads(data)
            if raw["format"] != _FORMAT:
                raise SnapshotError(f"has format {raw['format']!r}; this program knows {_FORMAT}")
            files = {_checked(name): Checksum.from_json(entry) for name, entry in raw["files"].items()}
            return cls(raw["facts"], files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SnapshotError(f"{_MANIFEST} is not understood: {error!r}") from None


class Snapshots:
    """The snapshots of one index, two at most. Every method may be called from any thread.

    Args:
        folder: theirs alone, in a folder that exists; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # one process owns a data directory, so nobody else writes here
        self._distrusted: set[str] = set()

    def write(self, files: "Mapping[str, Buffer]", facts: Mapping[str, JSON]) -> str:
        """Write a snapshot, which counts from the moment this returns; the one before it is kept.

        Args:
            files: contiguous buffers by plain file name.
            facts: what JSON can hold.

        Returns:
            Its name.

        Raises:
            SnapshotError: the disk refused; the snapshots are as they were, unless only bringing the new name to the
                disk failed: then the new one counts until the power goes.
            ValueError: a name is not 1-100 letters, digits, ``_``, ``.``, ``-``, or is that of the manifest.
        """
        for name in files:
            _checked(name)
        with self._lock:
            try:
                if not self._folder.exists():
                    self._folder.mkdir(0o700)  # without parents: that of a dropped collection must not come back
                    sync(self._folder.parent)
                self._sweep()
                name = self._add(files, facts)
            except OSError as error:
                raise SnapshotError(f"cannot write a snapshot to {self._folder}: {error}") from error
            with suppress(OSError):  # what cannot be removed now is removed after the next write
                self._remove([old for old in self._names() if old != name][_KEPT - 1 :])
        return name

    def load(self, report: Report = lambda _: None) -> Loaded | None:
        """The newest snapshot that verifies; None when there is none. Damage never raises.

        Args:
            report: told of every damage that was met on the way, a sentence each, e.g. ``problems.append``.
        """
        with self._lock:
            for name in self._by_preference(report):
                try:
                    manifest, files = self._open(name, report)
                    return Loaded(name, manifest.facts, dict(files))
                except (SnapshotError, OSError) as error:
                    self.distrust(name)
                    report(_said(name, error))
        return None

    def distrust(self, name: str) -> None:
        """A snapshot has been found to be of no use; it stays where it is, and is ``newest`` no longer."""
        self._distrusted.add(name)

    def newest(self) -> tuple[str, float] | None:
        """Name of the snapshot that counts, and when it was written, in seconds since the epoch.

        Nothing is verified here, and what did not verify before is passed over. Not under the lock, which is held while
        others are written or verified.
        """
        for name in self._by_preference(lambda _: None):
            if name in self._distrusted:
                continue
            with suppress(OSError):  # replaced just now
                return name, (self._folder / name / _MANIFEST).stat().st_mtime
        return None

    def verify(self) -> list[str]:
        """Read every byte of every snapshot; what is wrong, a sentence each."""
        problems: list[str] = []
        with self._lock:
            self._damaged(problems.append)
        return problems

    def remove_damaged(self) -> None:
        """Read every byte of every snapshot, and remove those that do not verify.

        Raises:
            SnapshotError: some could not be removed.
        """
        with self._lock:
            try:
                self._remove(self._damaged(lambda _: None))
            except OSError as error:
                raise SnapshotError(f"cannot remove a damaged snapshot in {self._folder}: {error}") from error

    def remove_older(self) -> None:
        """Remove every snapshot but the one that counts, and what crashes left behind.

        Raises:
            SnapshotError: some could not be removed.
        """
        self._remove_all_but(1)

    def remove_all(self) -> None:
        """Remove every snapshot and what crashes left behind.

        Raises:
            SnapshotError: some could not be removed.
        """
        self._remove_all_but(0)

    def _damaged(self, report: Report) -> list[str]:
        """Names of those that do not verify."""
        damaged = []
        for name in self._by_preference(report):
            try:
                for _ in self._open(name, report)[1]:
                    pass  # one file in memory at a time
            except (SnapshotError, OSError) as error:
                self.distrust(name)
                report(_said(name, error))
                damaged.append(name)
        return damaged

    def _remove_all_but(self, kept: int) -> None:
        with self._lock:
            if not self._folder.exists():
                return
            try:
                if not kept:
                    (self._folder / _CURRENT).unlink(missing_ok=True)
                self._sweep()
                self._remove(list(self._by_preference(lambda _: None))[kept:])
                sync(self._folder)
            except OSError as error:
                raise SnapshotError(f"cannot remove the snapshots in {self._folder}: {error}") from error

    def _add(self, files: "Mapping[str, Buffer]", facts: Mapping[str, JSON]) -> str:
        """Everything is on the disk before CURRENT names it; a failure takes back what was begun."""
        temporary, name = self._folder / _WRITING, None
        try:
            os.mkdir(temporary, 0o700)
            for file, data in files.items():
                write_synced(temporary / file, data)
            manifest = _Manifest(facts, {file: Checksum.of(data) for file, data in files.items()}).to_bytes()
            write_synced(temporary / _MANIFEST, manifest)
            sync(temporary)
            name = f"{self._next_number():08d}-{Checksum.of(manifest).sha256}"
            move(temporary, self._folder / name)
            write_synced(self._folder / _NEXT_CURRENT, f"{name}\n".encode())
            move(self._folder / _NEXT_CURRENT, self._folder / _CURRENT)
        except BaseException:
            discard(temporary)
            discard(self._folder / _NEXT_CURRENT)
            if name is not None and self._current(lambda _: None) != name:
                discard(self._folder / name)
            raise
        return name

    def _next_number(self) -> int:
        newest = next(iter(self._names()), None)
        return 1 if newest is None else int(newest.partition("-")[0]) + 1

    def _by_preference(self, report: Report) -> Iterator[str]:
        """The snapshot that counts, then the others, newest first."""
        try:
            names = self._names()
            current = self._current(report if names else lambda _: None)
        except OSError as error:
            report(f"the snapshots in {self._folder} cannot be listed: {error}")
            return
        if current in names:
            yield current
        elif current is not None:
            report(f"{_CURRENT} names {current}, which is not there")
        yield from (name for name in names if name != current)

    def _current(self, report: Report) -> str | None:
        try:
            data = read_at_most(self._folder / _CURRENT, _MOST_CURRENT_BYTES)
        except FileNotFoundError:
            report(f"{_CURRENT} is missing")
            return None
        except OSError as error:
            report(f"{_CURRENT} cannot be read: {error}")
            return None
        name, end = data[:-1].decode(errors="replace"), data[-1:]
        if end == b"\n" and _NAME.fullmatch(name):
            return name
        report(f"{_CURRENT} is damaged: it holds no name of a snapshot")
        return None

    def _names(self) -> list[str]:
        """Of whole snapshots, newest first; whether they are intact is not known yet."""
        try:
            return sorted(filter(_NAME.fullmatch, os.listdir(self._folder)), reverse=True)
        except FileNotFoundError:
            return []

    def _open(self, name: str, report: Report) -> tuple[_Manifest, Iterator[tuple[str, bytes]]]:
        """The manifest, and the files as they are read and verified."""
        folder = self._folder / name
        data = read_at_most(folder / _MANIFEST, _MOST_MANIFEST_BYTES)
        if not name.endswith(f"-{Checksum.of(data).sha256}"):
            raise SnapshotError(f"{_MANIFEST} is damaged: its SHA-256 is not the one in the name")
        manifest = _Manifest.from_bytes(data)
        for extra in sorted({*os.listdir(folder)} - {*manifest.files, _MANIFEST}):
            report(f"snapshot {name}: {extra!r} does not belong to it and is ignored")
        return manifest, ((file, _read(folder / file, checksum)) for file, checksum in manifest.files.items())

    def _remove(self, names: list[str]) -> None:
        """A snapshot that is half removed must not look like a damaged one, so it loses its name first."""
        for name in names:
            going = self._folder / f"{_REMOVING}{name}"
            os.rename(self._folder / name, going)
            shutil.rmtree(going)

    def _sweep(self) -> None:
        """Remove what crashes left behind."""
        for entry in os.listdir(self._folder):
            if entry in {_WRITING, _NEXT_CURRENT} or entry.startswith(_REMOVING):
                path = self._folder / entry
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _read(path: Path, expected: Checksum) -> bytes:
    with opened(path) as file:
        data = file.read(expected.bytes + 1)  # one more tells a file that has grown, however large it is now
    if len(data) != expected.bytes:
        than = "more" if len(data) > expected.bytes else "fewer"
        raise SnapshotError(f"{path.name} has {than} than its {expected.bytes} bytes")
    if Checksum.of(data) != expected:
        raise SnapshotError(f"{path.name} is damaged: its SHA-256 is not the one in {_MANIFEST}")
    return data


def _checked(name: str) -> str:
    if not _FILE.fullmatch(name) or name == _MANIFEST:
        raise ValueError(f"{name!r} cannot be the name of a snapshot's file")
    return name


def _said(name: str, error: Exception) -> str:
    return f"snapshot {name}: {error}"
