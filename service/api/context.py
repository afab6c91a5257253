"""What every request gets: an id, a stopwatch, metrics, a line in the log."""

import re
import secrets
import uuid
from hashlib import blake2b
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import audit
from service.telemetry.ended_requests import EndedRequest
from service.telemetry.metrics import Metrics
from service.telemetry.timings import Timings, server_timing
from service.telemetry.traces import Traces

# Whatever else is kept of a request, this is logged and sent on: a form in which nobody writes words.
_ID = re.compile(r"[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{12}")


def timings_of(request: Request) -> Timings:
    """The stopwatch of a request, which runs since its head was read."""
    timings: Timings = request.state.timings
    return timings


def note_question(request: Request, text: str) -> None:
    """Have the request's line in the log tell questions apart, by a hash that nobody can make of a guess."""
    said = blake2b(text.encode(errors="surrogatepass"), key=request.state.log_secret, digest_size=8)
    timings_of(request).counts.update(question_hash=said.hexdigest(), question_characters=len(text))


class RequestContext:
    """ASGI middleware. An X-Request-ID that is a UUID, with dashes or without, is kept, anything else is replaced."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._secret = secrets.token_bytes(16)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        traces: Traces | None = getattr(scope["app"].state, "traces", None)  # that of /metrics alone has none
        trace = traces.begin(Headers(scope=scope)) if traces else None
        timings, status, is_whole = Timings(trace), 0, False
        scope.setdefault("state", {}).update(request_id=request_id, timings=timings, log_secret=self._secret)

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["Server-Timing"] = server_timing(timings.milliseconds())
            await send(message)
            is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # the 500 is sent from outside of here
            status = status or HTTPStatus.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            timings.has_failed = timings.has_failed or not is_whole  # whoever left says nothing of budgets
            self._record(scope, status, timings)

    def _record(self, scope: Scope, status: int, timings: Timings) -> None:
        """Status 0 is a request that ended without a reply."""
        timings.end()
        route, method = getattr(scope.get("route"), "path", "unmatched"), scope["method"]
        request_id, trace = scope["state"]["request_id"], timings.trace
        self._metrics.ended.add(EndedRequest(request_id, audit.key_of(scope)[0], method, route, status, timings))
        if trace is not None:
            told = {"http.request.method": method, "http.route": route, "quarry.request_id": request_id}
            trace.end(f"{method} {route}", status, told, timings.problem)
        audit.record(scope, status)
