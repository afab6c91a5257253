"""Many documents in one request, as NDJSON."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from indexes.base import Document
from indexes.errors import CollectionConflictError, IndexesError, InvalidNameError, StoreUnavailableError
from service.api.access import needs
from service.api.bodies import Bodies, told
from service.api.caller import caller_of, writer_of
from service.api.context import timings_of
from service.api.description.failing import fails_with
from service.api.jobs import WaitOrNot, until_ended
from service.api.media_type import JSON
from service.api.problems import kind_of, validation_detail
from service.api.route import NativeRoute
from service.api.schemas.documents import BatchError, BatchLine, BatchLineReply
from service.api.schemas.jobs import BatchJobReply
from service.api.services import Services, ServicesOf
from service.api.uploads import Uploads
from service.density import refuse_dense
from service.errors import EmptyDocumentError, ForbiddenError, InvalidRequestError, OverloadedError, QuarryError
from service.ingest.ingestor import AcceptedWrite, Ingestor, NewDocument
from service.ingest.jobs.work import has_document_for, readable_id
from service.ingest.writer import Writer

router = APIRouter(
    route_class=NativeRoute, prefix="/v1/collections/{collection}", tags=["documents"], dependencies=[needs("ingest")]
)

_MEDIA_TYPE = "application/x-ndjson"
_CONCURRENT_LINES = 64


def _lines(model: str, said: str, example: str) -> dict[str, Any]:
    schema = {"type": "array", "description": said, "items": {"$ref": f"#/components/schemas/{model}"}}
    return {"content": {_MEDIA_TYPE: {"schema": schema, "examples": {"lines": {"value": example}}}}}


_BODY = _lines(
    "BatchLine",
    "A document on each line.",
    '{"id":"memo-1","text":"The audit is on Friday."}\n{"id":"memo-2","text":"Lunch is at noon."}\n',
)
_REPLY = _lines(
    "BatchLineReply",
    "What became of each line, in order.",
    '{"line":1,"id":"memo-1","status":"created","error":null}\n'
    '{"line":2,"id":"memo-2","status":"unchanged","error":null}\n',
)


@router.post(
    "/documents:batch",
    response_class=StreamingResponse,
    responses={
        200: {"description": "A result line for each line.", **_REPLY},
        202: {"model": BatchJobReply, "description": "With `wait_ms`: the batch is a job, and durable."},
    },
    openapi_extra=fails_with(
        InvalidNameError,
        CollectionConflictError,
        InvalidRequestError,
        StoreUnavailableError,
        OverloadedError,
        requestBody={"required": True, **_BODY},
    ),
)
async def put_batch(collection: str, request: Request, services: ServicesOf, wait_ms: WaitOrNot = None) -> Response:
    """Insert or replace many documents.

    A line that is refused costs the others nothing; of two lines with one id the later one wins. With `wait_ms` the
    batch is one job, which waits for nobody and is carried out also after a crash.
    """
    if wait_ms is not None:
        return await _as_job(Uploads(request, services.writing.intake, collection), services, wait_ms)
    await services.hold.opened_briefly()  # before the body, which would be held meanwhile
    services.writing.ingestor.check_wait(caller_of(request).name)
    ingestor, limit = services.writing.ingestor, services.settings.limits.batch_documents
    bodies: Bodies = request.app.state.bodies
    prepare = partial(_prepared_lines, ingestor, writer_of(request), limit=limit)
    numbers, prepared = await bodies.read(await request.body(), prepare)
    timings_of(request).counts["documents"] = len(prepared)
    if any(isinstance(item, Document) for item in prepared):  # else no collection is made
        accept = partial(ingestor.accept, await ingestor.open(collection), writer=writer_of(request))
        replies = _written(ingestor, accept, prepared)
    else:
        replies = _refused(prepared)
    return StreamingResponse(_numbered(replies, numbers), media_type=_MEDIA_TYPE)


async def _as_job(uploads: Uploads, services: Services, wait_ms: int) -> Response:
    is_there = uploads.collection in services.library
    refuse = None if is_there else partial(_refuse_foreign, writer_of(uploads.request))
    job = await uploads.put_lines(services.settings.limits.batch_documents, refuse)
    await until_ended(job, wait_ms, uploads.request)
    reply = BatchJobReply(job_id=job.job.id, total=job.job.total, status=job.job.status)
    return Response(reply.model_dump_json(), 202, media_type=JSON)


def _refuse_foreign(writer: Writer, path: Path) -> None:
    """No collection is made for a batch that its writer may not write a line of.

    Raises:
        ForbiddenError: every document fails the filter of the key.
    """
    if writer.guard is not None and not has_document_for(writer, path, read_line):
        raise ForbiddenError("not one line of the batch is a document that passes the filter of this key")


def read_line(line: bytes) -> NewDocument:
    """The document on a line.

    Raises:
        InvalidRequestError: there is none, naming every field that is wrong.
    """
    refuse_dense(line)
    try:
        body = BatchLine.model_validate_json(line)
    except ValidationError as error:
        raise InvalidRequestError(validation_detail(told(error))) from None
    return NewDocument(body.id, body.text, body.title, body.metadata, body.url)


async def _numbered(replies: AsyncIterator[BatchLineReply], numbers: Sequence[int]) -> AsyncIterator[bytes]:
    """The result lines; there is a reply for each number, in order."""
    following = iter(numbers)
    async for reply in replies:
        yield orjson.dumps({"line": next(following), **reply.model_dump(exclude={"line"})}) + b"\n"


def _prepared_lines(
    ingestor: Ingestor, writer: Writer, body: bytes, limit: int
) -> tuple[list[int], list[Document | BatchLineReply]]:
    """Number and content of each line that is not blank.

    Raises:
        InvalidRequestError: more than ``limit`` lines.
    """
    # Counted before they are split, as a body may be millions of line breaks.
    count = sum(1 for line in io.BytesIO(body) if line.strip())
    if count > limit:
        raise InvalidRequestError(f"the batch has {count} lines; the limit is {limit}")
    lines = [(number, line) for number, line in enumerate(io.BytesIO(body), 1) if line.strip()]
    return [number for number, _ in lines], [_prepared(ingestor, writer, line) for _, line in lines]


def _prepared(ingestor: Ingestor, writer: Writer, line: bytes) -> Document | BatchLineReply:
    """The document on a line, or why there is none."""
    try:
        document = read_line(line)
    except InvalidRequestError as error:
        return _failed(readable_id(line), error)
    try:
        writer.check(document.metadata)
        return ingestor.prepare(document)
    except (QuarryError, IndexesError) as error:
        return _failed(document.id, error)


async def _refused(prepared: Sequence[Document | BatchLineReply]) -> AsyncIterator[BatchLineReply]:
    """The replies of a batch without a single document to store; its collection is not created."""
    for item in prepared:
        if isinstance(item, BatchLineReply):
            yield item


async def _written(
    ingestor: Ingestor, accept: Callable[[Document], AcceptedWrite], prepared: Sequence[Document | BatchLineReply]
) -> AsyncIterator[BatchLineReply]:
    """A reply for each line. Lines are accepted in order, so that the last one of an id wins, and written together."""
    for first in range(0, len(prepared), _CONCURRENT_LINES):
        block = [_accepted(accept, item) for item in prepared[first : first + _CONCURRENT_LINES]]
        tasks: list[asyncio.Task[BatchLineReply]] = []
        latest: dict[str, asyncio.Task[BatchLineReply]] = {}  # by id: lines of one document are written one by one
        for item in block:
            document_id = item.document.id if isinstance(item, AcceptedWrite) else None
            tasks.append(asyncio.create_task(_put(ingestor, item, latest.get(document_id or ""))))
            if document_id is not None:
                latest[document_id] = tasks[-1]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _accepted(
    accept: Callable[[Document], AcceptedWrite], item: Document | BatchLineReply
) -> AcceptedWrite | BatchLineReply:
    if isinstance(item, BatchLineReply):
        return item
    try:
        return accept(item)
    except QuarryError as error:
        return _failed(item.id, error)


async def _put(
    ingestor: Ingestor, item: AcceptedWrite | BatchLineReply, after: asyncio.Task[BatchLineReply] | None
) -> BatchLineReply:
    if isinstance(item, BatchLineReply):
        return item
    if after is not None:
        await asyncio.wait({after})
    try:
        written = await ingestor.put(item)
    except (QuarryError, IndexesError) as error:
        return _failed(item.document.id, error)
    return BatchLineReply(id=written.id, status=written.status)


def _failed(document_id: str | None, error: QuarryError | IndexesError) -> BatchLineReply:
    reason = BatchError(code=kind_of(error).code, message=str(error))
    status = "skipped" if isinstance(error, EmptyDocumentError) else "error"
    return BatchLineReply.model_validate({"id": document_id, "status": status, "error": reason})
