"""Folders of a lexical index: each is written whole or not at all, and never opened damaged.

    lexical/
        00000007/                    the index as it was last written
            manifest.json            the SHA-256 of the rest of this file; length and SHA-256 of every other
            <files of tantivy>
        00000008/                    one that is being written: it has no manifest yet

The next one begins with links to the files of the one before, which tantivy never writes to again: so whatever happens
meanwhile, the one before is as it was. No number is given twice while the program runs, even if the folder is removed.
While the index is built anew the one that is searched stays beside what there is of the new one. All of it is derived,
and built anew from the store where nothing verifies.
"""

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from indexes.durable import Checksum, copy_synced, discard, move, sync, write_synced
from indexes.errors import LexicalError, LostWordsError
from indexes.plain_file import read_at_most
from indexes.snapshot import Report

_FORMAT = 1
_MANIFEST, _NEXT_MANIFEST = "manifest.json", ".manifest"
_MOST_MANIFEST_BYTES = 16 << 20
_NUMBER = re.compile("[0-9]{8}")
# A segment's files carry its number in their names and are written once.
_SEGMENT_FILE = re.compile(r"[0-9a-f]{32}\.[a-z.0-9]+")
_LOCK = re.compile(r"\.tantivy-.*\.lock")  # tantivy's, always empty


class _OutdatedError(LexicalError):
    """It was written for another program, whole as it may be."""


class WordFolders:
    """One index's folders; for one thread at a time.

    Args:
        folder: theirs alone, in a folder that exists; made when the first is written.
        identity: of the words; what was written under another is of no use.

    Attributes:
        bytes: of the files that were verified or vouched for last.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        self.bytes = 0
        self._last = 0  # number that was given
        self._vouched: dict[Path, Mapping[str, Checksum]] = {}  # what is in the folders that are kept

    def newest(self, most_version: int, report: Report) -> Path | None:
        """The newest folder whose every byte verifies; the others are removed.

        Args:
            most_version: of the collection: a folder of a later one knows rows that were given to other texts since.
            report: told of every damage, a sentence each.
        """
        found = None
        for path in self._numbered():
            if found is None and (path / _MANIFEST).exists():
                try:
                    self._note(path, self._check(path, most_version))
                    found = path
                except _OutdatedError:
                    continue  # the program is newer: that is no damage
                except (LexicalError, OSError) as error:
                    report(f"lexical index {path.name}: {error}")
        self.keep_only([found])
        return found

    def begin(self, base: Path | None) -> Path:
        """A new folder with what is in ``base``, to be written to until ``vouch``.

        Raises:
            LostWordsError: ``base`` is not there, or has other files than were vouched for.
            OSError: the disk refuses.
        """
        if not self._folder.exists():
            self._folder.mkdir(0o700)  # without parents: that of a dropped collection must not come back
            sync(self._folder.parent)
        self._last = 1 + max(self._last, *(int(path.name) for path in [*self._numbered(), *self._vouched]), 0)
        path = self._folder / f"{self._last:08d}"
        try:
            path.mkdir(0o700)
            if base is not None:
                self._take_over(base, path)
        except BaseException:
            discard(path)
            raise
        return path

    def vouch(self, path: Path, version: int, others: Collection[Path | None] = ()) -> None:
        """It is what should be opened from now on; what is not among ``others`` is removed.

        Args:
            version: of the collection, which has every row in it.

        Raises:
            OSError: the disk refuses; the one before is still there.
        """
        sums = {file: self._sum(path, file) for file in _files(path)}
        body = {"format": _FORMAT, "identity": self._identity, "version": version}
        data = orjson.dumps({**body, "files": {file: asdict(each) for file, each in sums.items()}})
        write_synced(path / _NEXT_MANIFEST, f"{Checksum.of(data).sha256}\n".encode() + data)
        move(path / _NEXT_MANIFEST, path / _MANIFEST)
        sync(self._folder)
        self._note(path, sums)
        self.keep_only([path, *others])

    def keep_only(self, paths: Collection[Path | None]) -> None:
        """Remove every other folder, as far as that is possible."""
        for other in self._numbered():
            if other not in paths:
                discard(other / _MANIFEST)  # first, so that half a folder never looks damaged
                discard(other)
        self._vouched = {path: sums for path, sums in self._vouched.items() if path in paths}

    def besides(self, paths: Collection[Path | None]) -> list[Path]:
        """Folders that are still there and none of ``paths``.

        Raises:
            OSError: nobody can tell.
        """
        return [path for path in self._numbered() if path not in paths]

    def problems(self, path: Path) -> list[str]:
        """Read every byte of a folder; what is wrong, a sentence each."""
        try:
            sums = self._check(path, None)
        except (LexicalError, OSError) as error:
            return [f"lexical index {path.name}: {error}"]
        if sums != self._vouched.get(path, sums):
            return [f"lexical index {path.name}: its files are not those that were written"]
        return []

    def _check(self, path: Path, most_version: int | None) -> Mapping[str, Checksum]:
        """What the manifest says of every file, which is so."""
        manifest = _manifest(path)
        if manifest["identity"] != self._identity:
            raise _OutdatedError(f"its words are {manifest['identity']!r}, not {self._identity!r}")
        if most_version is not None and manifest["version"] > most_version:
            raise LexicalError(f"it is of version {manifest['version']}, the store of {most_version}")
        expected: dict[str, Checksum] = manifest["files"]
        present = set(_files(path))
        if present != expected.keys():
            raise LexicalError(f"files are missing or foreign: {', '.join(sorted(present ^ expected.keys()))}")
        for file, checksum in expected.items():
            if Checksum.of_file(path / file) != checksum:
                raise LexicalError(f"{file} is damaged: it is not what {_MANIFEST} says it should be")
        return expected

    def _take_over(self, base: Path, path: Path) -> None:
        if not (base / _MANIFEST).exists() or set(_files(base)) != self._vouched.get(base, {}).keys():
            raise LostWordsError(f"lexical index {base.name}: its files are not those that were written")
        for file in _files(base):
            if _SEGMENT_FILE.fullmatch(file):
                with suppress(OSError):  # a file system without links
                    os.link(base / file, path / file)
                    continue
            copy_synced(base / file, path / file)

    def _note(self, path: Path, sums: Mapping[str, Checksum]) -> None:
        self._vouched[path] = sums
        self.bytes = sum(each.bytes for each in sums.values())

    def _sum(self, path: Path, file: str) -> Checksum:
        """A segment's file is what it was when it was vouched for: it is not read again."""
        known = [sums[file] for sums in self._vouched.values() if file in sums and _SEGMENT_FILE.fullmatch(file)]
        return known[0] if known else Checksum.of_file(path / file)

    def _numbered(self) -> list[Path]:
        """Newest first."""
        try:
            names = [name for name in os.listdir(self._folder) if _NUMBER.fullmatch(name)]
        except FileNotFoundError:
            return []
        return [self._folder / name for name in sorted(names, reverse=True)]


def _files(path: Path) -> list[str]:
    ours = {_MANIFEST, _NEXT_MANIFEST}
    return sorted(file for file in os.listdir(path) if file not in ours and not _LOCK.fullmatch(file))


def _manifest(path: Path) -> Mapping[str, Any]:
    """Its members, with the checksums of the files as such."""
    data = read_at_most(path / _MANIFEST, _MOST_MANIFEST_BYTES)
    head, _, body = data.partition(b"\n")
    if head != Checksum.of(body).sha256.encode():
        raise LexicalError(f"{_MANIFEST} is damaged: its SHA-256 is not the one it begins with")
    try:
        raw = orjson.loads(body)
        if raw["format"] != _FORMAT:
            raise _OutdatedError(f"it has format {raw['format']!r}; this program knows {_FORMAT}")
        files = {str(file): Checksum.from_json(entry) for file, entry in raw["files"].items()}
        return {"identity": str(raw["identity"]), "version": int(raw["version"]), "files": files}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LexicalError(f"{_MANIFEST} is not understood: {error!r}") from None
