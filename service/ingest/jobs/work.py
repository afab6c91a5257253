"""JobWork: how a job's raw input becomes documents of its collection."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

from indexes.base import Document
from indexes.errors import CollectionNotFoundError, IndexesError
from service.density import refuse_dense
from service.errors import EmptyDocumentError, ForbiddenError, InvalidRequestError, JobInputError, QuarryError
from service.ingest.document_embedder import Heard
from service.ingest.ingestor import PIPELINE_VERSION, AcceptedWrite, Ingestor, NewDocument, Written
from service.ingest.jobs.job import Ask, Job, JobError, Raw
from service.ingest.jobs.open_job import OpenJob
from service.ingest.jobs.raw_inputs import RawInputs
from service.ingest.parser import Parser
from service.ingest.place import Place
from service.ingest.writer import Writer

_LINES_AT_ONCE = 64


class Verdict(NamedTuple):
    """What an error means for a job: its code and message, and whether what is at fault may pass by itself."""

    code: str
    message: str
    is_passing: bool


Judge = Callable[[Exception], Verdict]
ReadLine = Callable[[bytes], NewDocument]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a batch: a document, or why there is none."""

    number: int
    content: Document | Exception
    id: str | None


@dataclass(frozen=True, slots=True)
class JobWork:
    """Carries jobs out.

    Attributes:
        read_line: the document on a line of a batch; raises InvalidRequestError where it is none.
        judge: what an error means.
    """

    ingestor: Ingestor
    parser: Parser
    raw: RawInputs
    read_line: ReadLine
    judge: Judge

    async def run(self, job: OpenJob, place: Place) -> None:
        """Write every document of the job; what came of each is in its progress.

        Raises:
            QuarryError, IndexesError: the document of a job that has one cannot be stored; of a batch, lines could not
                be written for a reason that may pass, or none can.
        """
        if job.is_resumed and not await asyncio.to_thread(self.raw.is_whole, job.job.id, job.job.raw):
            raise JobInputError(f"the raw input of job {job.job.id!r} is not what was received, or is gone")
        if job.job.kind == "batch":
            await self._run_batch(job, place)
            return
        job.written = await self._written(job.job, place, job.progress.embedded)
        job.progress.wrote(job.written)

    async def _written(self, job: Job, place: Place, heard: Heard) -> Written:
        ask, id_ = job.ask, str(job.ask.document_id)
        if await self.ingestor.is_overtaken(job.collection, id_, ask.metadata, place):
            return Written(id_, "updated", await self.ingestor.version(job.collection), is_superseded=True)
        document = await self._document(job, id_)
        write = AcceptedWrite(job.collection, document, place, job.writer, is_patient=True, heard=heard)
        return await self.ingestor.put(write)

    async def _document(self, job: Job, document_id: str) -> Document:
        ask, raw = job.ask, self.raw.path(job.id)
        if job.kind == "text":
            text = (await asyncio.to_thread(raw.read_bytes)).decode()
            new = NewDocument(document_id, text, ask.title, ask.metadata, ask.url)
        else:
            loaded = await self.parser.parse(ask.name, raw)
            title, source = ask.title or loaded.title, source_hash(ask, job.raw)
            new = NewDocument(document_id, loaded.text, title, ask.metadata, ask.url, loaded.format, source)
        return await asyncio.to_thread(self.ingestor.prepare, new)

    async def _run_batch(self, job: OpenJob, place: Place) -> None:
        path = self.raw.path(job.job.id)
        last = await asyncio.to_thread(self._last_lines, path)
        passing: Exception | None = None
        for first in range(0, job.job.total, _LINES_AT_ONCE):
            block = await asyncio.to_thread(self._block, path, first)
            puts = [self._put_line(job, place, line, last) for line in block]
            # Whoever cancels the job waits for the commits that have begun.
            errors = await asyncio.gather(*puts, return_exceptions=True)
            for error in filter(None, errors):
                if not isinstance(error, Exception) or isinstance(error, CollectionNotFoundError):
                    raise error
                passing = passing or error
        if passing is not None:
            raise passing

    async def _put_line(self, job: OpenJob, place: Place, line: _Line, last: dict[str, int]) -> Exception | None:
        """The error for which the line is to be tried again, or which ends the job; else its outcome is noted."""
        try:
            if isinstance(line.content, Exception):
                raise line.content
            if last[line.content.id] != line.number:
                job.progress.count("superseded")  # by a later line: a reader never sees the batch half applied to it
                return None
            write = AcceptedWrite(job.job.collection, line.content, place, job.job.writer, is_patient=True)
            job.progress.wrote(await self.ingestor.put(write))
        except Exception as error:  # the edge of a line: whatever it meets, the others are still to be written
            verdict = self.judge(error)
            if verdict.is_passing or isinstance(error, CollectionNotFoundError):
                return error
            outcome = "skipped" if isinstance(error, EmptyDocumentError) else "failed"
            job.progress.failed(JobError(line.id, verdict.code, verdict.message, line.number), outcome)
        return None

    def _last_lines(self, path: Path) -> dict[str, int]:
        """By document, the number of the last line that can be written."""
        lines = (self._line(number, data) for number, data in _numbered(path))
        return {line.content.id: line.number for line in lines if isinstance(line.content, Document)}

    def _block(self, path: Path, first: int) -> Sequence[_Line]:
        found = islice(_numbered(path), first, first + _LINES_AT_ONCE)
        return [self._line(number, data) for number, data in found]

    def _line(self, number: int, data: bytes) -> _Line:
        try:
            new = self.read_line(data)
        except QuarryError as error:
            return _Line(number, error, readable_id(data))
        try:
            return _Line(number, self.ingestor.prepare(new), new.id)
        except (QuarryError, IndexesError) as error:
            return _Line(number, error, new.id)


def source_hash(ask: Ask, raw: Raw) -> bytes:
    """SHA-256 of everything that decides what is stored of a file."""
    identity = [PIPELINE_VERSION, ask.name, ask.title, dict(ask.metadata), ask.url, raw.sha256.hex()]
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).digest()


def count_lines(path: Path) -> int:
    """Lines that are not blank."""
    return sum(1 for _ in _numbered(path))


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def has_document_for(writer: Writer, path: Path, read_line: ReadLine) -> bool:
    """Whether any line is a document that would exist for who writes it."""
    for _, line in _numbered(path):
        with suppress(InvalidRequestError, ForbiddenError):
            writer.check(read_line(line).metadata)
            return True
    return False


def readable_id(line: bytes) -> str | None:
    """Of a line that is refused for something else in it."""
    try:
        refuse_dense(line)
        body = orjson.loads(line)
    except (InvalidRequestError, orjson.JSONDecodeError):
        return None
    document_id = body.get("id") if isinstance(body, dict) else None
    return document_id if isinstance(document_id, str) else None
