"""Authentication: who asks is known before anything of a request but its head is read."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.caller import Caller
from service.access.key_book import KeyBook
from service.api import problems
from service.api.playground import PATHS
from service.errors import KeysUnavailableError, UnauthenticatedError
from service.telemetry.metrics import Metrics

# What says nothing of anybody's documents: whether the process lives and can serve, and how it is asked.
OPEN = PATHS | {"/healthz", "/readyz", "/openapi.json", "/docs"}
_METRICS = "/metrics"
_BEARER = "bearer "


class Authentication:
    """ASGI middleware: ``request.state.caller`` is who asks, on every route behind it.

    On a server without keys everybody may do everything, whatever key they show.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, open_metrics: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._keyless = {_METRICS} if open_metrics else set[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        keys: KeyBook = scope["app"].state.services.keys
        caller: Caller | None = None
        try:
            caller = _anybody(scope) if scope["path"] in self._keyless else _caller(scope, keys)
        except (UnauthenticatedError, KeysUnavailableError) as error:
            if scope["path"] not in OPEN:
                self._metrics.problems.labels(problems.kind_of(error).code).inc()
                await problems.response(Request(scope), error)(scope, receive, send)
                return
        scope["state"]["caller"] = caller
        await self._app(scope, receive, send)


def _caller(scope: Scope, keys: KeyBook) -> Caller:
    """Who asks.

    Raises:
        UnauthenticatedError: no key is shown where one is needed, or one that does not hold.
        KeysUnavailableError: nobody can tell which hold.
    """
    if not keys.are_needed:
        return _anybody(scope)
    headers = Headers(scope=scope)
    shown = [headers.getlist(name) for name in ("authorization", "x-api-key")]
    if any(len(each) > 1 for each in shown):  # a proxy's and a client's: whose counts must be nobody's guess
        raise UnauthenticatedError("several keys are shown in headers of one name; one is to be")
    given = headers.get("authorization", "")
    if given[: len(_BEARER)].lower() == _BEARER:
        return Caller.of(keys.shown(given[len(_BEARER) :].strip()))
    if "x-api-key" in headers:
        return Caller.of(keys.shown(headers["x-api-key"].strip()))
    raise UnauthenticatedError("this server asks for a key: Authorization: Bearer quarry.<id>.<secret>")


def _anybody(scope: Scope) -> Caller:
    """By its address; empty over a Unix socket."""
    return Caller(scope["client"][0] if scope.get("client") else "")
