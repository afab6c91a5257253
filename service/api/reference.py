"""GET /openapi.json and GET /docs: the API described, for programs and for people."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from service.api.access import NOTHING
from service.api.description.document import describe
from service.api.description.failing import fails_with
from service.api.description.page import html, markdown
from service.api.media_type import JSON
from service.api.route import NativeRoute
from service.api.secure_headers import PAGE_POLICY
from service.settings import Settings

# Nothing of anybody's, but it changes with the server.
_PUBLIC = {"Cache-Control": "no-cache"}

router = APIRouter(route_class=NativeRoute, tags=["operations"], dependencies=[NOTHING])


@dataclass(slots=True)
class _Made:
    """Bytes that are made once, on a thread, when they are first asked for."""

    make: Callable[[], bytes]
    _bytes: bytes | None = None
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self) -> bytes:
        async with self._alone:
            if self._bytes is None:
                self._bytes = await run_sync(self.make)
            return self._bytes


class Reference:
    """The document of an application and the page of it. The routes must all be there when one is first asked for."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        described = partial(describe, app, settings)
        self.document = _Made(lambda: orjson.dumps(described()))
        self.page = _Made(lambda: html(markdown(described())).encode())


_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON: {"schema": {"type": "object"}, "example": {"openapi": "3.1.0"}}}}
}
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>..."}}}
}


@router.get("/openapi.json", response_class=Response, responses=_DOCUMENT, openapi_extra=fails_with())
async def openapi(request: Request) -> Response:
    """This description in OpenAPI 3.1."""
    reference: Reference = request.app.state.reference
    return Response(await reference.document.get(), headers=_PUBLIC, media_type=JSON)


@router.get("/docs", response_class=HTMLResponse, responses=_PAGE, openapi_extra=fails_with())
async def docs(request: Request) -> HTMLResponse:
    """This description as a page."""
    reference: Reference = request.app.state.reference
    return HTMLResponse(await reference.page.get(), headers=_PUBLIC | {"Content-Security-Policy": PAGE_POLICY})
