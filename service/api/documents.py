"""Documents of a collection: put, get, list, delete, and batches as NDJSON."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from indexes.errors import IndexesError
from indexes.names import check_document_id
from service.api.problems import kind_of, validation_detail
from service.api.schemas import (
    BatchError,
    BatchLine,
    BatchLineReply,
    DeletedDocument,
    DocumentBody,
    DocumentEntry,
    DocumentPage,
    DocumentReply,
    StoredDocument,
)
from service.api.services import Services, ServicesOf
from service.errors import EmptyDocumentError, InvalidRequestError, QuarryError, UnsupportedMediaTypeError
from service.ingest.ingestor import NewDocument
from service.ingest.loaders import load_file

router = APIRouter(prefix="/v1/collections/{collection}", tags=["documents"])

_NDJSON = "application/x-ndjson"
_MAX_PAGE = 1000
_CONCURRENT_LINES = 64
_SLASHES_BEFORE_ID = 5  # /v1/collections/{collection}/documents/


async def _document_id(request: Request) -> str:
    """The id from the raw path, where bytes that are not UTF-8 are still what they were."""
    raw = bytes(request.scope.get("raw_path") or request.url.path.encode())
    # Decoded before it is cut: the route matched the decoded path, whatever of it the client had encoded.
    encoded = unquote_to_bytes(raw.split(b"?")[0]).split(b"/", _SLASHES_BEFORE_ID)[-1]
    try:
        document_id = encoded.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"document id {quote_from_bytes(encoded)!r} is not UTF-8", param="id") from None
    check_document_id(document_id)
    return document_id


DocumentId = Annotated[str, Depends(_document_id)]
_ID_PATH = "/documents/{id:path}"
_PUT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": DocumentBody.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "title": {"type": "string"},
                        "metadata": {"type": "string", "description": "A JSON object."},
                        "url": {"type": "string"},
                    },
                }
            },
        },
    }
}
_BATCH_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {_NDJSON: {"schema": BatchLine.model_json_schema()}}}
}


@router.put(_ID_PATH, openapi_extra=_PUT_BODY, responses={201: {"model": DocumentReply}})
async def put_document(
    collection: str, document_id: DocumentId, request: Request, response: Response, services: ServicesOf
) -> DocumentReply:
    """Insert or replace a document. When this replies it is durable and searchable."""
    document = await _read_document(document_id, request)
    written = await services.ingestor.put(services.ingestor.accept(collection, document))
    response.status_code = 201 if written.status == "created" else 200
    return DocumentReply(id=written.id, status=written.status, index_version=written.index_version)


@router.post("/documents:batch", openapi_extra=_BATCH_BODY, response_class=StreamingResponse)
async def put_batch(collection: str, request: Request, services: ServicesOf) -> StreamingResponse:
    """Insert or replace many documents; a result line for each line, in order."""
    lines = [line for line in (await request.body()).split(b"\n") if line.strip()]
    limit = services.settings.limits.batch_documents
    if len(lines) > limit:
        raise InvalidRequestError(f"the batch has {len(lines)} lines; the limit is {limit}")
    writes = _Batch(collection, services).results(lines)
    return StreamingResponse((orjson.dumps(reply.model_dump()) + b"\n" async for reply in writes), media_type=_NDJSON)


@router.get("/documents")
async def list_documents(
    collection: str, services: ServicesOf, limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 100, cursor: str = ""
) -> DocumentPage:
    """Documents in the order of their ids."""
    found = await asyncio.to_thread(services.library.get(collection).documents, cursor, limit + 1)
    data = [DocumentEntry(id=id_, title=title, url=url, metadata=meta) for id_, title, url, meta in found[:limit]]
    return DocumentPage(data=data, next_cursor=data[-1].id if len(found) > limit else None)


@router.get(_ID_PATH)
async def get_document(collection: str, document_id: DocumentId, services: ServicesOf) -> StoredDocument:
    """A document with its text."""
    document = await asyncio.to_thread(services.library.get(collection).document, document_id)
    return StoredDocument(
        id=document.id,
        title=document.title,
        text=document.text,
        metadata=dict(document.metadata),
        url=document.url,
    )


@router.delete(_ID_PATH)
async def delete_document(collection: str, document_id: DocumentId, services: ServicesOf) -> DeletedDocument:
    """Delete a document: invisible to every search that starts after this replies."""
    deleted, version = await services.ingestor.delete(services.library.get(collection), document_id)
    return DeletedDocument(deleted=int(deleted), index_version=version)


class _Batch:
    """The lines of one batch: accepted in order, so that the last line of an id wins, and written together."""

    def __init__(self, collection: str, services: Services) -> None:
        self._collection = collection
        self._ingestor = services.ingestor

    async def results(self, lines: list[bytes]) -> AsyncIterator[BatchLineReply]:
        """A reply for each line, in order."""
        for first in range(0, len(lines), _CONCURRENT_LINES):
            tasks = [asyncio.create_task(self._write(line)) for line in lines[first : first + _CONCURRENT_LINES]]
            try:
                for task in tasks:
                    yield await task
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, line: bytes) -> BatchLineReply:
        # Up to the first await a task runs at once and in the order of creation: so lines are accepted in order.
        document_id = None
        try:
            body = BatchLine.model_validate_json(line)
            document_id = body.id
            document = NewDocument(body.id, body.text, body.title, body.metadata, body.url)
            written = await self._ingestor.put(self._ingestor.accept(self._collection, document))
            return BatchLineReply(id=written.id, status=written.status)
        except ValidationError as error:
            message = validation_detail(error.errors())
            return BatchLineReply(id=None, status="error", error=BatchError(code="invalid_request", message=message))
        except EmptyDocumentError as error:
            reason = BatchError(code=kind_of(error).code, message=str(error))
            return BatchLineReply(id=document_id, status="skipped", error=reason)
        except (QuarryError, IndexesError) as error:
            reason = BatchError(code=kind_of(error).code, message=str(error))
            return BatchLineReply(id=document_id, status="error", error=reason)


async def _read_document(document_id: str, request: Request) -> NewDocument:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "application/json":
        return _from_json(document_id, await request.body())
    if media_type == "multipart/form-data":
        return await _from_form(document_id, request)
    raise UnsupportedMediaTypeError(
        f"content type {media_type or '(none)'!r} is not read here; application/json and multipart/form-data are"
    )


def _from_json(document_id: str, raw: bytes) -> NewDocument:
    try:
        body = DocumentBody.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    return NewDocument(document_id, body.text, body.title, body.metadata, body.url)


async def _from_form(document_id: str, request: Request) -> NewDocument:
    async with request.form(max_files=1, max_fields=8) as form:
        unknown = sorted(set(form) - {"file", "title", "metadata", "url"})
        if unknown:
            raise InvalidRequestError(f"unknown form fields: {', '.join(unknown)}", param=unknown[0])
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("the form has no file in its field 'file'", param="file")
        fields = {name: form[name] for name in ("title", "url") if name in form}
        raw = {**fields, "text": "", "metadata": _form_metadata(form.get("metadata"))}
        loaded = await asyncio.to_thread(load_file, file.filename or document_id, await file.read())
    try:
        body = DocumentBody.model_validate(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    return NewDocument(
        document_id, loaded.text, body.title or loaded.title, body.metadata, body.url, format=loaded.format
    )


def _form_metadata(value: object) -> object:
    if value is None:
        return {}
    try:
        return orjson.loads(str(value))
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"metadata is not JSON: {error}", param="metadata") from None
