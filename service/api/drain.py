"""Drain: the end of a server, in which nobody new is taken on and everybody else is answered."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems, sse
from service.api.context import timings_of
from service.errors import ShuttingDownError
from service.telemetry.metrics import Metrics

_RETRY_AFTER_S = 5.0
# What looks at the process while it ends; /readyz is not among them, and its refusal is true.
ALWAYS_ANSWERED = frozenset({"/healthz", "/metrics", "/v1/status"})


class Drain:
    """Who is being answered, and whether anybody else will be."""

    def __init__(self) -> None:
        self._answered: set[asyncio.Task[object]] = set()
        self._begun, self._empty, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._empty.set()
        self.is_cut = False

    @property
    def is_on(self) -> bool:
        """It has begun."""
        return self._begun.is_set()

    def hurry(self) -> None:
        """Cut what is still being answered."""
        self._hurry.set()

    async def run(self, within_s: float) -> int:
        """Take nobody on, wait for the end of all answers, and cut those that last longer than ``within_s``.

        Returns:
            How many were cut.
        """
        self._begun.set()
        waits = {asyncio.create_task(self._empty.wait()), asyncio.create_task(self._hurry.wait())}
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self.is_cut = True
        cut = list(self._answered)
        for task in cut:
            task.cancel()
        return len(cut)

    async def sooner(self, wait: Coroutine[Any, Any, object]) -> None:
        """Wait, but not beyond the drain's begin: for what is durable, and can be asked for again elsewhere."""
        waits = {asyncio.create_task(wait), asyncio.create_task(self._begun.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The current task answers a request."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a request is always served in a task
        self._answered.add(task)
        self._empty.clear()
        try:
            yield
        finally:
            self._answered.discard(task)
            if not self._answered:
                self._empty.set()


class DrainGate:
    """ASGI middleware: refuses while the server drains, and ends a cut answer as what it is."""

    def __init__(self, app: ASGIApp, drain: Drain, metrics: Metrics) -> None:
        self._app = app
        self._drain = drain
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
        elif self._drain.is_on:
            error = ShuttingDownError("the server is shutting down and takes no new requests", _RETRY_AFTER_S)
            self._count(error)
            await problems.response(Request(scope), error)(scope, receive, send)
        else:
            with self._drain.answering():
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        media_type: str | None = None

        async def watched(message: Message) -> None:
            nonlocal media_type
            if message["type"] == "http.response.start":
                media_type = Headers(raw=message["headers"]).get("content-type", "")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._drain.is_cut or task is None:
                raise
            task.uncancel()  # asked for by the drain, and done with here
            await self._end(media_type, scope, receive, send)

    async def _end(self, media_type: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that the answer was cut: as a reply, as an event, or by leaving the body without its end."""
        error = ShuttingDownError(
            "the server is shutting down, and the answer was not finished in time", _RETRY_AFTER_S
        )
        self._count(error)
        request = Request(scope)
        if media_type is None:
            await problems.response(request, error)(scope, receive, send)
        elif media_type.startswith(sse.EventStream.media_type):
            timings = timings_of(request)
            timings.has_failed, timings.problem = True, problems.kind_of(error).code
            body = sse.failure(request, problems.describe(request, error))
            await send({"type": "http.response.body", "body": body, "more_body": False})

    def _count(self, error: ShuttingDownError) -> None:
        self._metrics.problems.labels(problems.kind_of(error).code).inc()
