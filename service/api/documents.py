"""Documents of a collection: put, get, list, delete."""

import asyncio
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.routing import Match
from starlette.types import Scope

from indexes.base import Document
from indexes.errors import (
    CollectionConflictError,
    DocumentNotFoundError,
    InvalidFilterError,
    InvalidNameError,
    StoreUnavailableError,
)
from indexes.filters import parse_filter
from indexes.names import check_document_id
from service.api import media_type
from service.api.access import needs
from service.api.bodies import Bodies, told
from service.api.caller import caller_of, rights_of, writer_of
from service.api.context import timings_of
from service.api.description.failing import READING, fails_with
from service.api.jobs import WaitOrNot
from service.api.route import NativeRoute
from service.api.schemas.documents import (
    DeleteBody,
    DeletedDocument,
    DocumentBody,
    DocumentEntry,
    DocumentPage,
    DocumentReply,
    StoredDocument,
)
from service.api.services import ServicesOf
from service.api.uploads import Uploads, reply_to
from service.budget import Deadline
from service.density import refuse_dense
from service.errors import (
    DeadlineExceededError,
    DocumentTooLargeError,
    EmbedderUnavailableError,
    EmptyDocumentError,
    InvalidRequestError,
    JobCancelledError,
    JobInputError,
    OverloadedError,
    ParserUnavailableError,
    UnreadableDocumentError,
    UnsupportedMediaTypeError,
)
from service.ingest.ingestor import Ingestor, NewDocument, Written
from service.ingest.jobs.open_job import OpenJob
from service.ingest.writer import Writer
from service.visibility import Visible


class _DocumentRoute(NativeRoute):
    """One that an id with a line break comes to as well, so that it is refused as an id and not as a path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As ever, where a line break is a character like any other; the id is taken from the raw path."""
        path = scope.get("path", "")
        return super().matches({**scope, "path": path.replace("\n", "\r")} if "\n" in path else scope)


router = APIRouter(prefix="/v1/collections/{collection}", tags=["documents"], route_class=_DocumentRoute)

_MAX_PAGE = 1000
_SLASHES_BEFORE_ID = 5  # /v1/collections/{collection}/documents/


async def _document_id(request: Request, id_: Annotated[str, Path(alias="id")]) -> str:
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
_READING_A_FILE = (UnsupportedMediaTypeError, UnreadableDocumentError, DocumentTooLargeError, ParserUnavailableError)
_OF_A_JOB = (JobCancelledError, JobInputError)
_PUT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        media_type.JSON: {"schema": {"$ref": "#/components/schemas/DocumentBody"}},
        media_type.FORM: {"schema": {"$ref": "#/components/schemas/FormBody"}},
    },
}


@router.put(
    _ID_PATH,
    dependencies=[needs("ingest")],
    responses={201: {"model": DocumentReply}, 202: {"model": DocumentReply}},
    response_model_exclude_none=True,
    openapi_extra=fails_with(
        InvalidNameError,
        EmptyDocumentError,
        CollectionConflictError,
        StoreUnavailableError,
        OverloadedError,
        EmbedderUnavailableError,
        *_READING_A_FILE,
        *_OF_A_JOB,
        requestBody=_PUT_BODY,
    ),
)
async def put_document(
    collection: str,
    document_id: DocumentId,
    request: Request,
    response: Response,
    services: ServicesOf,
    wait_ms: WaitOrNot = None,
) -> DocumentReply:
    """Insert or replace a document.

    200 and 201 mean that it is durable and searchable; the same content again is `unchanged`, and costs nothing. The
    collection is created if there is none. A file, or any document with `wait_ms`, is written by a job:
    where that takes longer, a 202 says that job and upload are durable, and are carried out also after a crash.
    """
    uploads = Uploads(request, services.writing.intake, collection)
    default_ms = services.settings.jobs.default_wait_ms
    match media_type.media_type_of(request):
        case media_type.FORM:
            put: OpenJob | Written = await uploads.put_file(document_id)
        case media_type.JSON:
            if wait_ms is None:
                await services.hold.opened_briefly()  # before the body, which would be held meanwhile
                services.writing.ingestor.check_wait(caller_of(request).name)
            bodies: Bodies = request.app.state.bodies
            body = await bodies.read(await request.body(), _body)
            new = NewDocument(document_id, body.text, body.title, body.metadata, body.url)
            document = await asyncio.to_thread(services.writing.ingestor.prepare, new)
            if wait_ms is None:
                put = await _put(services.writing.ingestor, collection, document, writer_of(request))
            else:
                put = await uploads.put_text(document_id, body)
        case other:
            raise media_type.unsupported(other, media_type.JSON, media_type.FORM)
    return await reply_to(put, default_ms if wait_ms is None else wait_ms, request, response)


async def _put(ingestor: Ingestor, collection: str, document: Document, writer: Writer) -> Written:
    writer.check(document.metadata)  # before a collection is made for it
    return await ingestor.put(ingestor.accept(await ingestor.open(collection), document, writer))


@router.get("/documents", dependencies=[needs("query")], openapi_extra=fails_with(*READING, DeadlineExceededError))
async def list_documents(
    collection: str,
    request: Request,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE, description="Documents of a page.")] = 100,
    cursor: Annotated[str, Query(description="`next_cursor` of the page before; empty for the first.")] = "",
) -> DocumentPage:
    """Documents in the order of their ids."""
    rights, deadline = rights_of(request), Deadline.after(services.settings.budgets.total_ms)
    reading = partial(
        services.writing.library.read,
        collection,
        lambda route: Visible(route.primary, rights).documents(cursor, limit + 1),
    )
    async with deadline.earlier(timings_of(request).elapsed()).enforced("read"):
        found = await asyncio.get_running_loop().run_in_executor(services.readers, reading)
    data = [DocumentEntry(id=id_, title=title, url=url, metadata=meta) for id_, title, url, meta in found[:limit]]
    return DocumentPage(data=data, next_cursor=data[-1].id if len(found) > limit else None)


@router.get(
    _ID_PATH,
    dependencies=[needs("query")],
    openapi_extra=fails_with(*READING, InvalidNameError, DocumentNotFoundError),
)
async def get_document(
    collection: str, document_id: DocumentId, request: Request, services: ServicesOf
) -> StoredDocument:
    """A document with its text."""
    rights = rights_of(request)
    document = await asyncio.to_thread(
        services.writing.library.read, collection, lambda route: Visible(route.primary, rights).document(document_id)
    )
    return StoredDocument(
        id=document.id,
        title=document.title,
        text=document.text,
        metadata=dict(document.metadata),
        url=document.url,
    )


@router.delete(_ID_PATH, dependencies=[needs("ingest")], openapi_extra=fails_with(*READING, InvalidNameError))
async def delete_document(
    collection: str, document_id: DocumentId, request: Request, services: ServicesOf
) -> DeletedDocument:
    """Delete a document.

    It is invisible to every search that starts after this replies. That there is none is no error.
    """
    deleted, version = await services.writing.ingestor.delete(collection, document_id, rights_of(request).filter)
    return DeletedDocument(deleted=int(deleted), index_version=version)


@router.post(
    "/documents:delete",
    dependencies=[needs("ingest")],
    openapi_extra=fails_with(*READING, InvalidFilterError),
)
async def delete_documents(
    collection: str, body: DeleteBody, request: Request, services: ServicesOf
) -> DeletedDocument:
    """Delete every document whose metadata passes the filters.

    They are invisible to every search that starts after this replies.
    """
    filter_ = rights_of(request).both(parse_filter(body.filters))
    deleted, version = await services.writing.ingestor.delete_matching(collection, filter_)
    return DeletedDocument(deleted=deleted, index_version=version)


def _body(raw: bytes) -> DocumentBody:
    refuse_dense(raw)
    try:
        return DocumentBody.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(told(error)) from None
