"""A disk that forgets at a power cut what was not synced, by the system calls that were made on it.

Strictly by POSIX: fsync and fdatasync of a file keep what was written to it before they began, from the moment they
end; the name of a new, renamed or removed file is kept by an fsync of its folder alone.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from faults.trace import Call, Descriptor

# Every call that changes files; one of them that ``Disk`` does not know is an error, not a blind spot.
CALLS = (
    "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,"
    "sendfile,splice,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "link,linkat,symlink,symlinkat,lseek"
)
_BY_NAME = {
    "open",
    "openat",
    "openat2",
    "creat",
    "truncate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
} | {*("mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat")}
_BLOCK = 4096
_SYNCS = ("fsync", "fdatasync")


class UnknownCallError(NotImplementedError):
    """A call on the disk whose effect is not known here."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset; None for data sets the size."""

    offset: int
    data: bytes | None

    def to(self, content: bytearray) -> None:
        """Make it."""
        if self.data is None:
            del content[self.offset :]
        content.extend(bytes(max(0, self.offset - len(content))))
        if self.data is not None:
            content[self.offset : self.offset + len(self.data)] = self.data

    def pieces(self) -> list["Write"]:
        """What of it can reach the disk without the rest."""
        if self.data is None:
            return [self]
        edges = [0, *range(_BLOCK - self.offset % _BLOCK, len(self.data), _BLOCK), len(self.data)]
        return [Write(self.offset + a, self.data[a:b]) for a, b in pairwise(edges)]


@dataclass(slots=True)
class File:
    """What is on the disk, and the writes since that may be."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)
    settled: int = 0  # writes that were pending once

    def mark(self) -> int:
        """What a sync that begins now will keep."""
        return self.settled + len(self.pending)

    def sync(self, mark: int) -> None:
        """Keep what was there at the mark."""
        kept, self.pending = self.pending[: mark - self.settled], self.pending[max(0, mark - self.settled) :]
        for write in kept:
            write.to(self.synced)
        self.settled = max(self.settled, mark)

    @property
    def size(self) -> int:
        """As the running process sees it."""
        size = len(self.synced)
        for write in self.pending:
            size = write.offset if write.data is None else max(size, write.offset + len(write.data))
        return size


@dataclass(slots=True)
class Folder:
    """Entries by name as the process sees them, as they are on the disk, and every state in between."""

    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    states: list[dict[str, "File | Folder"]] = field(default_factory=lambda: [{}])
    settled: int = 0

    def changed(self) -> None:
        """Note the state of the entries after a change."""
        self.states.append(dict(self.entries))

    def mark(self) -> int:
        """What a sync that begins now will keep."""
        return self.settled + len(self.states) - 1

    def sync(self, mark: int) -> None:
        """Keep what was there at the mark."""
        del self.states[: max(0, mark - self.settled)]
        self.settled = max(self.settled, mark)


class Disk:
    """Follows the calls that concern one folder, which is empty and on the disk when they begin."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._top = Folder()
        self._positions: dict[str, int] = {}
        self._marks: dict[int, tuple[File | Folder, int]] = {}  # by thread, of the sync it is in

    def begin(self, call: Call) -> None:
        """A sync keeps what was there when it began."""
        if call.name in _SYNCS and (node := self._node(_path(call.arguments))) is not None:
            self._marks[call.thread] = (node, node.mark())

    def end(self, call: Call) -> None:
        """Make the call's effect.

        Raises:
            UnknownCallError: there is none for a call of that name.
        """
        if call.name in _SYNCS:
            node, mark = self._marks.pop(call.thread, (None, 0))
            if node is not None and call.result == 0:
                node.sync(mark)
            return
        paths = [path for path in _paths(call) if self._is_inside(path)]
        if call.result < 0 or not paths:
            return
        effect = _EFFECTS.get(call.name)
        if effect is None:
            raise UnknownCallError(f"{call.name} of {paths} on line {call.ended}")
        effect(self, call, paths)

    def write_to(self, folder: Path, rng: np.random.Generator | None = None) -> None:
        """Make the files that a power cut leaves now: without ``rng`` what was synced, with it some of the rest."""
        share = 0.0 if rng is None else float(rng.choice([0.1, 0.5, 0.9]))
        _materialise(self._top, folder, rng, share)

    def opened(self, call: Call, paths: Sequence[str]) -> None:
        flags = next(a for a in call.arguments if isinstance(a, str) and a.startswith("O_")).split("|")
        folder, name = self._parent(paths[-1])
        if "O_CREAT" in flags and name not in folder.entries:
            folder.entries[name] = File()
            folder.changed()
        node = folder.entries[name]
        self._positions[str(call.result)] = -1 if "O_APPEND" in flags else 0
        if "O_TRUNC" in flags and isinstance(node, File) and node.size:
            node.pending.append(Write(0, None))

    def written(self, call: Call, paths: Sequence[str]) -> None:
        descriptor, data = call.arguments[:2]
        node = self._node(paths[0])
        if not isinstance(node, File) or not isinstance(descriptor, Descriptor) or not isinstance(data, bytes):
            raise UnknownCallError(f"{call.name} to {paths} on line {call.ended}")
        if call.name == "pwrite64":
            offset = int(str(call.arguments[3]))
        else:
            position = self._positions.get(descriptor.number)
            if position is None:
                raise UnknownCallError(f"{call.name} to a copy of a descriptor of {paths} on line {call.ended}")
            offset = node.size if position < 0 else position
            self._positions[descriptor.number] = position if position < 0 else offset + call.result
        node.pending.append(Write(offset, data[: call.result]))

    def sought(self, call: Call, paths: Sequence[str]) -> None:
        number = next(a.number for a in call.arguments if isinstance(a, Descriptor))
        if self._positions.get(number, 0) >= 0:
            self._positions[number] = call.result

    def truncated(self, call: Call, paths: Sequence[str]) -> None:
        node = self._node(paths[0])
        if isinstance(node, File):
            node.pending.append(Write(int(str(call.arguments[1])), None))

    def renamed(self, call: Call, paths: Sequence[str]) -> None:
        (source, old), (target, new) = map(self._parent, paths[-2:])
        target.entries[new] = source.entries.pop(old)
        for folder in {id(source): source, id(target): target}.values():
            folder.changed()

    def linked(self, call: Call, paths: Sequence[str]) -> None:
        (source, old), (target, new) = map(self._parent, paths[-2:])
        target.entries[new] = source.entries[old]  # one file from here on, whatever is written to it
        target.changed()

    def made(self, call: Call, paths: Sequence[str]) -> None:
        folder, name = self._parent(paths[-1])
        folder.entries[name] = Folder()
        folder.changed()

    def removed(self, call: Call, paths: Sequence[str]) -> None:
        folder, name = self._parent(paths[-1])
        del folder.entries[name]
        folder.changed()

    def _is_inside(self, path: str) -> bool:
        """SQLite's -shm files are memory: it makes them anew after a crash, so they are not followed."""
        return path.startswith(f"{self._root}/") and not path.endswith("-shm")

    def _node(self, path: str | None) -> "File | Folder | None":
        if path is None or not (path == self._root or self._is_inside(path)):
            return None
        node: File | Folder = self._top
        for name in path[len(self._root) :].split("/"):
            if name:
                assert isinstance(node, Folder), path
                node = node.entries[name]
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder = self._node(posixpath.dirname(path))
        assert isinstance(folder, Folder), path
        return folder, posixpath.basename(path)


_EFFECTS: dict[str, Callable[[Disk, Call, Sequence[str]], None]] = {
    "open": Disk.opened,
    "openat": Disk.opened,
    "creat": Disk.opened,
    "write": Disk.written,
    "pwrite64": Disk.written,
    "lseek": Disk.sought,
    "ftruncate": Disk.truncated,
    "rename": Disk.renamed,
    "renameat": Disk.renamed,
    "renameat2": Disk.renamed,
    "link": Disk.linked,
    "linkat": Disk.linked,
    "mkdir": Disk.made,
    "mkdirat": Disk.made,
    "unlink": Disk.removed,
    "unlinkat": Disk.removed,
    "rmdir": Disk.removed,
}


def _paths(call: Call) -> list[str]:
    """Absolute, in order, of the names or, where there is none, the descriptors that a call is given."""
    if call.name not in _BY_NAME:
        return [a.path for a in call.arguments if isinstance(a, Descriptor) and a.path is not None]
    paths: list[str] = []
    base = ""
    for argument in call.arguments:
        if isinstance(argument, Descriptor):
            base = argument.path or ""
        elif isinstance(argument, bytes):
            paths.append(posixpath.join(base, argument.decode()))
    return paths


def _path(arguments: Sequence[object]) -> str | None:
    return next((a.path for a in arguments if isinstance(a, Descriptor)), None)


def _materialise(node: Folder, folder: Path, rng: np.random.Generator | None, share: float) -> None:
    folder.mkdir()
    state = node.states[0 if rng is None else int(rng.integers(len(node.states)))]
    for name, entry in state.items():
        if isinstance(entry, Folder):
            _materialise(entry, folder / name, rng, share)
            continue
        content = bytearray(entry.synced)
        for write in entry.pending if rng is not None else ():
            for piece in write.pieces():
                if rng is not None and rng.random() < share:
                    piece.to(content)
        (folder / name).write_bytes(content)
