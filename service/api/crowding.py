"""Crowding: a question that would wait too long is refused by its head, which costs the ones before it least."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problems
from service.api.caller import caller_of
from service.api.services import Services
from service.errors import OverloadedError
from service.telemetry.metrics import Metrics

_SEARCHING = frozenset({"/v1/search", "/v1/query", "/v1/chat/completions"})


class _Asked(NamedTuple):
    """The route, for those who count requests by it: it is not looked for."""

    path: str


class Crowding:
    """ASGI middleware: lets pass who may expect to be searched for in time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] not in _SEARCHING:
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        try:
            services.backlog.check(caller_of(Request(scope)).name)
        except OverloadedError as error:
            scope["route"] = _Asked(scope["path"])
            self._metrics.problems.labels(problems.kind_of(error).code).inc()
            await problems.response(Request(scope), error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
