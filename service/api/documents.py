"""Documents of a collection: put, get, list, delete."""

import asyncio
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from indexes.filters import parse_filter
from indexes.names import check_document_id
from service.api import media_type
from service.api.caller import caller_of
from service.api.schemas.documents import (
    DeleteBody,
    DeletedDocument,
    DocumentBody,
    DocumentEntry,
    DocumentPage,
    DocumentReply,
    StoredDocument,
)
from service.api.services import Services, ServicesOf
from service.errors import InvalidRequestError
from service.ingest.ingestor import NewDocument

router = APIRouter(prefix="/v1/collections/{collection}", tags=["documents"])

_MAX_PAGE = 1000
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


@router.put(_ID_PATH, openapi_extra=_PUT_BODY, responses={201: {"model": DocumentReply}})
async def put_document(
    collection: str, document_id: DocumentId, request: Request, response: Response, services: ServicesOf
) -> DocumentReply:
    """Insert or replace a document. When this replies it is durable and searchable."""
    ingestor = services.ingestor
    document = await asyncio.to_thread(ingestor.prepare, await _read_document(document_id, request, services))
    written = await ingestor.put(ingestor.accept(await ingestor.open(collection), document, caller_of(request)))
    response.status_code = 201 if written.status == "created" else 200
    return DocumentReply(id=written.id, status=written.status, index_version=written.index_version)


@router.get("/documents")
async def list_documents(
    collection: str, services: ServicesOf, limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 100, cursor: str = ""
) -> DocumentPage:
    """Documents in the order of their ids."""
    found = await asyncio.to_thread(
        services.library.read, collection, lambda route: route.primary.documents(cursor, limit + 1)
    )
    data = [DocumentEntry(id=id_, title=title, url=url, metadata=meta) for id_, title, url, meta in found[:limit]]
    return DocumentPage(data=data, next_cursor=data[-1].id if len(found) > limit else None)


@router.get(_ID_PATH)
async def get_document(collection: str, document_id: DocumentId, services: ServicesOf) -> StoredDocument:
    """A document with its text."""
    document = await asyncio.to_thread(
        services.library.read, collection, lambda route: route.primary.document(document_id)
    )
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
    deleted, version = await services.ingestor.delete(collection, document_id)
    return DeletedDocument(deleted=int(deleted), index_version=version)


@router.post("/documents:delete", dependencies=[Depends(media_type.require_json)])
async def delete_documents(collection: str, body: DeleteBody, services: ServicesOf) -> DeletedDocument:
    """Delete every document whose metadata passes the filters: invisible to every search that starts after this."""
    filter_ = parse_filter(body.filters)
    deleted, version = await services.ingestor.delete_matching(collection, filter_)
    return DeletedDocument(deleted=deleted, index_version=version)


async def _read_document(document_id: str, request: Request, services: Services) -> NewDocument:
    match media_type.media_type_of(request):
        case media_type.JSON:
            return await asyncio.to_thread(_from_json, document_id, await request.body())
        case media_type.FORM:
            return await _from_form(document_id, request, services)
        case other:
            raise media_type.unsupported(other, media_type.JSON, media_type.FORM)


def _from_json(document_id: str, raw: bytes) -> NewDocument:
    try:
        body = DocumentBody.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    return NewDocument(document_id, body.text, body.title, body.metadata, body.url)


async def _from_form(document_id: str, request: Request, services: Services) -> NewDocument:
    async with request.form(max_files=1, max_fields=8) as form:
        unknown = sorted(set(form) - {"file", "title", "metadata", "url"})
        if unknown:
            raise InvalidRequestError(f"unknown form fields: {', '.join(unknown)}", param=unknown[0])
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("the form has no file in its field 'file'", param="file")
        fields = {name: form[name] for name in ("title", "url") if name in form}
        raw = {**fields, "text": "", "metadata": _form_metadata(form.get("metadata"))}
        try:
            body = DocumentBody.model_validate(raw)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        async with services.spool.kept(file.file) as path:
            loaded = await services.parsers.parse(file.filename or document_id, path)
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
