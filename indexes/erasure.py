"""Erasure: what was deleted leaves the files too, and the proof of it is that its bytes are not found there.

A DELETE leaves its bytes in free pages, in the log and in copies that migrations left. ``erase`` rewrites the file
without them; ``needles_in`` takes samples of what is to go, before it goes, and ``prove_erased`` looks for them.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from indexes import byte_search
from indexes.base import Vectors
from indexes.database import SqliteDatabase
from indexes.durable import sync
from indexes.errors import ErasureError
from indexes.migration import migration_backups
from indexes.writer import GroupCommitWriter

_TEXT_NEEDLE_BYTES, _VECTOR_NEEDLE_BYTES = 24, 64
# SQLite cuts a long value into pages of 4 KiB: with this distance each of them has several needles.
_NEEDLE_DISTANCE_BYTES = 1024
# What has fewer different bytes, as spaces or zeros have, is found everywhere.
_DISTINCT_BYTES, _DISTINCT_HEAD_BYTES = 6, 4
_MAX_NEEDLES = 10_000
_ERASE_S = 3600.0
_SEARCH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A place where a needle stands: the first one in its file."""

    file: str
    offset: int
    needle: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What was searched, and what was found.

    Attributes:
        files: that were read from end to end.
        bytes: of these files.
        needles: that were looked for.
        found: where they stand, but for those in ``shared``.
        shared: needles that were found, but that what is to stay contains too: a document which is not deleted, or the
            log of operations, which keeps ids and filters.
    """

    files: int
    bytes: int
    needles: int
    found: tuple[Finding, ...]
    shared: int = 0

    @property
    def is_clean(self) -> bool:
        """Something was looked for, and nothing of it is there."""
        return self.needles > self.shared and not self.found


def erase(writer: GroupCommitWriter, database: SqliteDatabase, patience_s: float = 10.0) -> None:
    """Rewrite the file without what was deleted, empty its log, and remove the copies that migrations left.

    Every write of the process waits meanwhile, and the disk needs room for the file twice more. Reads go on. Nothing
    less will do: ``secure_delete`` alone leaves copies that SQLite made within its b-trees, by which a few samples in
    ten thousand were found again, and another file could take this one's place only while nobody writes or reads.

    Args:
        patience_s: longest wait for reads that began before.

    Raises:
        ErasureError: a read took longer, or a copy cannot be removed; to be tried again.
        StoreUnavailableError: SQLite cannot rewrite the file, e.g. on a full disk; the data is as it was.
    """
    writer.run_alone(database, partial(_rewrite, patience_s=patience_s), timeout_s=_ERASE_S)
    try:
        for copy in migration_backups(database.path):
            copy.unlink()
        sync(database.path.parent)
    except OSError as error:
        raise ErasureError(f"a copy of an earlier version cannot be removed: {error}") from error


def needles_of(texts: Iterable[str], vectors: Vectors) -> list[bytes]:
    """Samples of texts and vectors by which these are recognised in a file.

    Texts give windows of 24 bytes, a kilobyte apart and at their end; vectors their first 64 bytes. What is shorter
    than 8 bytes, as a vector of one component is, or all but uniform gives none: it would be found where nothing of it
    is.

    Args:
        vectors: ``(n, dimension)``, as they are stored.
    """
    needles = dict.fromkeys(needle for text in texts for needle in _windows(text.encode()))
    heads = np.ascontiguousarray(vectors[:, : _VECTOR_NEEDLE_BYTES // 4], dtype="<f4")
    needles |= dict.fromkeys(row.tobytes() for row in heads)
    return [needle for needle in needles if _is_distinct(needle)]


def needles_in(database: SqliteDatabase, document_ids: Sequence[str], limit: int = _MAX_NEEDLES) -> list[bytes]:
    """Needles of everything that documents left in the store, to be taken before they are deleted.

    Args:
        limit: of so many at most, spread over all.

    Raises:
        StoreUnavailableError: the store cannot be read.
    """
    ids = json.dumps(list(document_ids))
    chosen = "FROM documents d JOIN json_each(?) i ON d.id = i.value"
    with database.reading() as connection:
        documents = connection.execute(f"SELECT d.text, d.title, d.metadata, d.url {chosen}", (ids,)).fetchall()
        chunks = connection.execute(
            f"SELECT c.text, c.heading_path, v.vector {chosen} "
            "JOIN chunks c ON c.document = d.row JOIN vectors v ON v.chunk = c.row",
            (ids,),
        ).fetchall()
        sentences = connection.execute(
            f"SELECT s.vectors {chosen} JOIN chunks c ON c.document = d.row JOIN sentences s ON s.chunk = c.row", (ids,)
        ).fetchall()
    texts = [text for row in documents for text in row if text] + [text for *both, _ in chunks for text in both]
    vectors = np.frombuffer(b"".join(vector for *_, vector in chunks), dtype="<f4")
    needles = needles_of(texts, vectors.reshape(len(chunks), -1) if chunks else vectors.reshape(0, 0))
    needles += [needle for (codes,) in sentences for needle in _windows(codes) if _is_distinct(needle)]
    step = max(1, -(-len(needles) // limit))
    return needles[::step]


def search_files(folder: Path, needles: Sequence[bytes]) -> Proof:
    """Read every file below ``folder`` from end to end and look for every needle.

    In a process of its own: a process that closes a file, however it opened it, gives up the locks it holds on it, and
    SQLite's connections to the files of a collection would stand without theirs.

    Raises:
        ErasureError: a file cannot be read.
        ValueError: a needle has fewer than 8 bytes.
    """
    if any(len(needle) < byte_search.MIN_NEEDLE_BYTES for needle in needles):
        raise ValueError(f"a needle has {byte_search.MIN_NEEDLE_BYTES} bytes at least")
    asked = json.dumps({"folder": str(folder.absolute()), "needles": [needle.hex() for needle in needles]})
    command = [sys.executable, "-I", byte_search.__file__]
    try:
        done = subprocess.run(  # noqa: S603  this interpreter, with a file of this package
            command, input=asked, capture_output=True, text=True, timeout=_SEARCH_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ErasureError(f"{folder} cannot be searched: {error}") from error
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ErasureError(f"{folder} cannot be searched: {last or f'exit code {done.returncode}'}")
    said = json.loads(done.stdout)
    return Proof(said["files"], said["bytes"], len(needles), tuple(Finding(*place) for place in said["found"]))


def prove_erased(database: SqliteDatabase, needles: Sequence[bytes]) -> Proof:
    """Search the folder of a store for needles; those that its documents or its log contain are not counted.

    Raises:
        ErasureError: a file cannot be read.
        StoreUnavailableError: the store cannot be read.
    """
    proof = search_files(database.path.parent, needles)
    shared = {number for number in {place.needle for place in proof.found} if _is_live(database, needles[number])}
    return replace(proof, found=tuple(place for place in proof.found if place.needle not in shared), shared=len(shared))


def _rewrite(connection: sqlite3.Connection, patience_s: float) -> None:
    patience_ms = int(connection.execute("PRAGMA busy_timeout").fetchone()[0])
    connection.execute(f"PRAGMA busy_timeout={int(patience_s * 1000)}")
    try:
        connection.execute("PRAGMA secure_delete=ON")  # what is freed while the file is rewritten, and from then on
        connection.execute("VACUUM")
        is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience_ms}")
    if is_busy:
        raise ErasureError(
            f"a read that has been going on for more than {patience_s:g} s keeps the log from being emptied"
        )


def _windows(data: bytes) -> Iterator[bytes]:
    last = max(0, len(data) - _TEXT_NEEDLE_BYTES)
    for start in [*range(0, last, _NEEDLE_DISTANCE_BYTES), last]:
        yield data[start : start + _TEXT_NEEDLE_BYTES]


def _is_distinct(needle: bytes) -> bool:
    head = needle[: byte_search.MIN_NEEDLE_BYTES]
    return (
        len(head) == byte_search.MIN_NEEDLE_BYTES
        and len(set(head)) >= _DISTINCT_HEAD_BYTES
        and len(set(needle)) >= _DISTINCT_BYTES
    )


def _is_live(database: SqliteDatabase, needle: bytes) -> bool:
    columns = {"documents": ("text", "title", "metadata", "url"), "chunks": ("text", "heading_path")}
    columns |= {"vectors": ("vector",), "sentences": ("vectors",)}
    columns |= {"operations": ("document_id", "filter")}
    tests = [
        f"EXISTS (SELECT 1 FROM {table} WHERE instr(CAST({column} AS BLOB), ?1))"  # noqa: S608
        for table, names in columns.items()
        for column in names
    ]
    with database.reading() as connection:
        return bool(connection.execute(f"SELECT {' OR '.join(tests)}", (needle,)).fetchone()[0])
