"""Limiting: a key's requests are counted before anything of them but their head is read."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.caller import Caller
from service.access.counts import Slot
from service.access.key import Key
from service.access.limits import Limits
from service.api import problems
from service.api.authentication import OPEN
from service.errors import RateLimitedError
from service.telemetry.metrics import Metrics


class Limiting:
    """ASGI middleware: a request has its key's slot until its reply has ended, however that comes about."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        caller: Caller | None = scope["state"].get("caller") if scope["type"] == "http" else None
        if caller is None or caller.key is None or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        limits: Limits = scope["app"].state.services.limits
        told = _told(limits, caller.key, send)
        try:
            slot = await limits.take(caller.key)
        except RateLimitedError as error:
            self._metrics.problems.labels(problems.kind_of(error).code).inc()
            await problems.response(Request(scope), error)(scope, receive, told)
            return
        try:
            await self._app(scope, receive, _until_the_last(slot, told))
        finally:
            slot.give_back()


def _told(limits: Limits, key: Key, send: Send) -> Send:
    """Says in the reply's head what the key has left, as OpenAI's servers do."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for standing in await limits.standings(key):
                headers[f"x-ratelimit-limit-{standing.unit}"] = str(standing.limit)
                headers[f"x-ratelimit-remaining-{standing.unit}"] = str(standing.remaining)
                headers[f"x-ratelimit-reset-{standing.unit}"] = f"{standing.reset_s:.3f}s"
        await send(message)

    return send_with_headers


def _until_the_last(slot: Slot, send: Send) -> Send:
    """Gives the slot back once the reply's last byte is on its way, which takes until the client takes what is before.

    No later: whoever has read it may ask again.
    """

    async def send_and_give_back(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            slot.give_back()

    return send_and_give_back
