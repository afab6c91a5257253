"""Uploads: a body becomes the raw input of a job without being held in memory; and the reply to it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message

from indexes.filters import to_json
from service.api.caller import caller_of, rights_of, writer_of
from service.api.jobs import until_ended
from service.api.schemas.documents import DocumentBody, DocumentReply
from service.errors import InvalidRequestError
from service.ingest.ingestor import Written
from service.ingest.jobs.board import NewJob
from service.ingest.jobs.intake import Intake
from service.ingest.jobs.job import Ask
from service.ingest.jobs.open_job import OpenJob
from service.ingest.jobs.raw_inputs import Incoming
from service.ingest.jobs.work import count_lines

_FIELDS = {"file", "title", "metadata", "url"}
_FLUSH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Uploads:
    """What one request brings for one collection."""

    request: Request
    intake: Intake
    collection: str

    @property
    def _caller(self) -> str:
        return caller_of(self.request).name

    @property
    def _guard(self) -> dict[str, Any] | None:
        guard = rights_of(self.request).filter
        return None if guard is None else to_json(guard)

    async def put_file(self, document_id: str) -> OpenJob | Written:
        """The file of a form.

        Raises:
            InvalidRequestError, RequestValidationError: a form that is none, or one of its fields.
            ForbiddenError: the document would not exist for the caller.
            OverloadedError, StoreUnavailableError, IndexesError: see ``Intake``.
        """
        incoming = await self.intake.receive()
        try:
            async with self._counted(incoming).form(max_files=1, max_fields=8) as form:
                file, ask = _asked(document_id, form)
                writer_of(self.request).check(ask.metadata)
                await file.seek(0)
                await asyncio.to_thread(incoming.copy, file.file)
        except BaseException:
            await self.intake.discard(incoming)
            raise
        ask = replace(ask, guard=self._guard)
        return await self.intake.put_file(self.collection, ask, incoming, self._caller)

    async def put_text(self, document_id: str, body: DocumentBody) -> OpenJob:
        """A document that came as JSON, and was checked.

        Raises:
            OverloadedError, StoreUnavailableError, IndexesError: see ``Intake``.
        """
        writer_of(self.request).check(body.metadata)
        incoming = await self.intake.receive()
        await self._written(incoming, body.text.encode())
        ask = Ask(document_id, title=body.title, metadata=body.metadata, url=body.url, guard=self._guard)
        return await self.intake.submit(self.collection, NewJob("text", self._caller, ask), incoming)

    async def put_lines(self, limit: int, refuse: Callable[[Path], None] | None = None) -> OpenJob:
        """A body of NDJSON.

        Args:
            refuse: looks at the file of it, on a thread, and raises where it is not to be taken.

        Raises:
            InvalidRequestError: more than ``limit`` lines.
            OverloadedError, StoreUnavailableError, IndexesError: see ``Intake``.
        """
        incoming = await self.intake.receive()
        try:
            await self._stream(incoming)
            count = await asyncio.to_thread(_finished_lines, incoming)
            if count > limit:
                raise InvalidRequestError(f"the batch has {count} lines; the limit is {limit}")
            if refuse is not None:
                await asyncio.to_thread(refuse, incoming.path)
        except BaseException:
            await self.intake.discard(incoming)
            raise
        new = NewJob("batch", self._caller, Ask(guard=self._guard), count)
        return await self.intake.submit(self.collection, new, incoming)

    def _counted(self, incoming: Incoming) -> Request:
        """The request, whose body counts as it arrives."""

        async def receive() -> Message:
            message = await self.request.receive()
            self.intake.arrived(incoming, len(message.get("body", b"")))
            return message

        return Request(self.request.scope, receive)

    async def _stream(self, incoming: Incoming) -> None:
        waiting = bytearray()
        async for data in self._counted(incoming).stream():
            waiting += data
            if len(waiting) >= _FLUSH_BYTES:
                await asyncio.to_thread(incoming.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(incoming.write, bytes(waiting))

    async def _written(self, incoming: Incoming, data: bytes) -> None:
        try:
            await asyncio.to_thread(incoming.write, data)
        except BaseException:
            await self.intake.discard(incoming)
            raise


async def reply_to(put: OpenJob | Written, wait_ms: int, request: Request, response: Response) -> DocumentReply:
    """What became of a document when its job ends; 202 where that takes longer than ``wait_ms`` or the server drains.

    Raises:
        QuarryError, IndexesError: why the job failed.
    """
    if isinstance(put, Written):
        return written_reply(put, response)
    await until_ended(put, wait_ms, request)
    if put.error is not None:
        raise put.error
    if put.written is not None and put.ended.is_set():
        return written_reply(put.written, response, put.job.id)
    response.status_code = 202
    return DocumentReply(id=str(put.job.ask.document_id), status="accepted", job_id=put.job.id)


def written_reply(written: Written, response: Response, job_id: str | None = None) -> DocumentReply:
    """Durable and searchable: 201 where the document is new, else 200."""
    response.status_code = 201 if written.status == "created" else 200
    return DocumentReply(id=written.id, status=written.status, index_version=written.index_version, job_id=job_id)


def _asked(document_id: str, form: FormData) -> tuple[UploadFile, Ask]:
    unknown = sorted(set(form) - _FIELDS)
    if unknown:
        raise InvalidRequestError(f"unknown form fields: {', '.join(unknown)}", param=unknown[0])
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidRequestError("the form has no file in its field 'file'", param="file")
    fields = {name: form[name] for name in ("title", "url") if name in form}
    try:
        body = DocumentBody.model_validate({**fields, "text": "", "metadata": _metadata(form.get("metadata"))})
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    # The one character of a name that browsers and other clients escape, and that a form's parser leaves as it is.
    name = (file.filename or document_id).replace("%22", '"')
    return file, Ask(document_id, name, body.title, body.metadata, body.url)


def _metadata(value: object) -> object:
    if value is None:
        return {}
    try:
        return orjson.loads(str(value))
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"metadata is not JSON: {error}", param="metadata") from None


def _finished_lines(incoming: Incoming) -> int:
    incoming.finish()
    return count_lines(incoming.path)
