"""What lies under the paths given to quarry ingest: files to upload, and lines of JSONL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.ingest.file_types import SUFFIXES

_JSONL = (".jsonl", ".ndjson")
_BATCH_LINES = 64
_BATCH_BYTES = 4 * 1024 * 1024


class SameIdError(Exception):
    """Two files have the same path below the folders that were named."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file that is one document; its id is its path below the folder that was named."""

    path: Path
    id: str
    documents: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a JSONL file; ``number`` counts from 1."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BatchSource:
    """Some lines of a JSONL file, a document each."""

    path: Path
    lines: Sequence[Line]

    @property
    def documents(self) -> int:
        """One a line."""
        return len(self.lines)


@dataclass(frozen=True, slots=True)
class Found:
    """Files by what can be done with them."""

    files: Sequence[FileSource]
    jsonl: Sequence[Path]
    passed_over: Sequence[Path]

    def documents(self) -> int:
        """Documents in all; reads the JSONL files once to count their lines."""
        return len(self.files) + sum(1 for path in self.jsonl for _ in _lines(path))

    def __iter__(self) -> Iterator[FileSource | BatchSource]:
        yield from self.files
        for path in self.jsonl:
            yield from in_batches(path, _lines(path))


def find(paths: Sequence[Path]) -> Found:
    """Everything below ``paths``. Hidden files, and in a folder other types and links out of it, are passed over.

    A file that is named itself is always taken: the server says what is wrong with it.

    Raises:
        FileNotFoundError: a path does not exist.
        SameIdError: two files would have one id.
    """
    files: list[FileSource] = []
    jsonl: list[Path] = []
    passed_over: list[Path] = []
    for root in paths:
        if not root.exists():
            raise FileNotFoundError(root)
        for path in sorted(_files_below(root)) if root.is_dir() else [root]:
            suffix = path.suffix.lower()
            if path != root and _leads_out_of(root, path):
                passed_over.append(path)
            elif suffix in _JSONL:
                jsonl.append(path)
            elif suffix in SUFFIXES or path == root:
                files.append(FileSource(path, path.relative_to(root).as_posix() if path != root else path.name))
            else:
                passed_over.append(path)
    _check_distinct(files)
    return Found(files, jsonl, passed_over)


def _check_distinct(files: Sequence[FileSource]) -> None:
    paths: dict[str, Path] = {}
    for file in files:
        if paths.setdefault(file.id, file.path) != file.path:
            raise SameIdError(f"{paths[file.id]} and {file.path} would both be the document {file.id!r}")


def _files_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _leads_out_of(folder: Path, path: Path) -> bool:
    """Whoever names a folder means what lies in it, not what a link in it leads to."""
    return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())


def _lines(path: Path) -> Iterator[Line]:
    """Lines that are not blank."""
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if data.strip():
                yield Line(number, data.strip())


def in_batches(path: Path, found: Iterable[Line]) -> Iterator[BatchSource]:
    """The lines of a file in slices that are small enough for one request."""
    lines: list[Line] = []
    size = 0
    for line in found:
        if lines and (len(lines) == _BATCH_LINES or size + len(line.data) > _BATCH_BYTES):
            yield BatchSource(path, lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line.data)
    if lines:
        yield BatchSource(path, lines)
