"""The body of a request: how large it may be, and how long it may take to come."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Bytes a second, on average beyond the first `stall_s`: less is a connection that is held, and not a body that is sent.
_LEAST_RATE = 4096
_STATE = "body"  # of a request, which has its body under this name


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """What a body may be.

    Attributes:
        max_bytes: refused by its Content-Length before a byte is read, cut off at the limit without one.
        stall_s: wait for the next byte.
        small_bytes: instead of ``max_bytes`` for routes that say so; None is no other limit.
    """

    max_bytes: int
    stall_s: float
    small_bytes: int | None = None


class BodyLimit:
    """ASGI middleware; what it raises while the body is read becomes problem+json like every error."""

    def __init__(self, app: ASGIApp, bounds: BodyBounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        body = _Body(receive, self._bounds, int(announced) if announced.isdecimal() else 0)
        scope.setdefault("state", {})[_STATE] = body

        async def watched(message: Message) -> None:
            body.is_over = True  # whoever is answered already is waited for by the connection alone
            await send(message)

        await self._app(scope, body.receive, watched)


class _Body:
    """One body as it is read.

    Attributes:
        max_bytes: that it may have.
        is_over: nothing is to be held to the bounds any more.
    """

    def __init__(self, receive: Receive, bounds: BodyBounds, announced: int) -> None:
        self._receive = receive
        self._bounds = bounds
        self._announced = announced
        self.max_bytes = bounds.max_bytes
        self._received = 0
        self._waited_s = 0.0
        self.is_over = False

    async def receive(self) -> Message:
        """The next message.

        Raises:
            HTTPException: 413, it is too large; 408, it takes too long.
        """
        if self.is_over:
            return await self._receive()
        self._check(self._announced)
        message = await self._in_time()
        self._received += len(message.get("body", b""))
        self._check(self._received)
        self.is_over = not message.get("more_body", False)
        return message

    def narrow(self) -> None:
        """Hold it to the limit for small bodies."""
        self.max_bytes = min(self.max_bytes, self._bounds.small_bytes or self.max_bytes)

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            name = "max_body_bytes" if self.max_bytes == self._bounds.max_bytes else "max_small_body_bytes"
            detail = f"the body is larger than the limit of {self.max_bytes} bytes (server.{name})"
            raise HTTPException(413, detail)

    async def _in_time(self) -> Message:
        """Only waiting counts: what the reader of the body takes for itself is no fault of its client."""
        left = self._bounds.stall_s + self._received / _LEAST_RATE - self._waited_s
        if left <= 0:  # said here, as a wait that ends at once would never be cut
            raise HTTPException(408, self._lateness())
        begun = _now()
        try:
            async with asyncio.timeout(min(self._bounds.stall_s, left)):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, self._lateness()) from None
        finally:
            self._waited_s += _now() - begun

    def _lateness(self) -> str:
        stall = f"{self._bounds.stall_s:g} s"
        return (
            f"{self._received} bytes of the body have come; the limit is {stall} without a byte, and {stall} in all "
            f"with a second more for every {_LEAST_RATE} bytes"
        )


def narrow(request: Request) -> None:
    """Hold the body of a request, of which nothing was read yet, to the limit for small ones."""
    body: _Body = getattr(request.state, _STATE)
    body.narrow()


def _now() -> float:
    """Seconds of the loop's clock."""
    return asyncio.get_running_loop().time()
