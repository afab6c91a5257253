"""Connection: HTTP/1.1 as uvicorn speaks it, with clients that do not behave."""

import asyncio
from functools import partial
from typing import Any

import uvicorn
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.api.closing_transport import ClosingTransport
from service.api.connections import Connections
from service.api.refusal import CROWDED, MALFORMED, Refusal, head_too_large

# What is still to come of a body that nobody reads: so much is read over, and the connection goes on.
_READ_OVER_BYTES = 64 * 1024
_SPOKEN = frozenset({"1.0", "1.1"})
_FIELD_OVERHEAD = 4  # of a field's line beside name and value


class Listening(uvicorn.Config):
    """How uvicorn runs the application.

    Args:
        app: the ASGI application.
        connections: what its connections share.
        where: ``host`` and ``port`` or ``uds``, and whatever else uvicorn takes.
    """

    def __init__(self, app: Any, connections: Connections, **where: Any) -> None:  # noqa: ANN401  as uvicorn has them
        super().__init__(
            app, http=Connection, ws="none", log_config=None, access_log=False, server_header=False, **where
        )
        self.connections = connections


class _RefusedError(Exception):
    """Thrown through the parser, which tells of it as of bytes that are no HTTP."""


class Connection(HttpToolsProtocol):
    """One connection. A head has a time and a size; so has what a client takes of a reply, and the end of it all."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, Listening)  # noqa: S101  which names this class
        self._all = config.connections
        self._bounds = config.connections.bounds
        self._line: ClosingTransport | None = None
        self._answered: RequestResponseCycle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal = MALFORMED
        self._is_broken = False  # what comes cannot be told apart any more
        self._is_in_head = True
        self._steps = 0  # ends of heads and of bodies
        self._head_bytes = self._head_fields = 0  # of the line and of fields that are whole
        self._unparsed_bytes = 0  # of a head, whole fields or not

    # of the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """There is a client."""
        stuck = partial(self._all.count, "reply_not_taken")
        self._line = ClosingTransport(transport, self.loop, self._is_owed, stuck, self._bounds.stall_s)
        super().connection_made(self._line)
        if self._all.make_room(len(self.connections)):
            self._all.wait(self)
            self._watch_head()
        else:
            self._refuse(CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; the answer under way, which is not always that to the last request, is told."""
        self._all.leave(self)
        self._unwatch_head()
        self._unset_keepalive_if_required()
        if self._line is not None:
            self._line.lost()
        self._hang_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        assert self._line is not None  # noqa: S101  made with the connection
        if self._line.is_closing():
            self._line.linger()
            return
        steps = self._steps
        super().data_received(data)
        is_head = self._is_in_head and steps == self._steps
        self._unparsed_bytes = self._unparsed_bytes + len(data) if is_head else 0
        if self._line.is_closing():
            return
        if self._unparsed_bytes > self._bounds.head_bytes:
            self._refuse(self._head_too_large())
        elif self._is_idle() and self._head_timer is None:
            self._watch_head()

    def eof_received(self) -> None:
        """The client will send nothing more, which is how clients leave; the connection is closed."""
        assert self._line is not None  # noqa: S101  made with the connection
        self._line.watch()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        super().pause_writing()
        if self._line is not None:
            self._line.watch()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._line is not None:
            self._line.unwatch()

    # of the parser

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._head_bytes = self._head_fields = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._take(len(url), fields=0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field. What follows a chunked body counts, but belongs to nobody: its request is being answered."""
        self._take(len(name) + len(value) + _FIELD_OVERHEAD, fields=1)
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A whole head."""
        if len(self.pipeline) >= self._bounds.pipelined or self.parser.get_http_version() not in _SPOKEN:
            raise _RefusedError
        self._steps += 1
        self._is_in_head = False
        self._unwatch_head()
        self._all.leave(self)
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # To no protocol that is spoken here; nothing that follows would be read as HTTP any more.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """A whole request."""
        super().on_message_complete()
        self._steps += 1
        self._is_in_head = True

    # of what uvicorn makes of requests

    def on_response_complete(self) -> None:
        """A whole reply."""
        super().on_response_complete()
        if self._is_idle():
            self._all.wait(self)

    def send_400_response(self, msg: str) -> None:
        """What came is no request."""
        self._refuse(self._refusal)

    def give_way(self) -> None:
        """Close at once."""
        assert self._line is not None  # noqa: S101  made with the connection
        self._line.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """The reply closes the connection, which says it."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, partial(_answer, app, cycle))

    # of its own

    def _take(self, size: int, fields: int) -> None:
        self._head_bytes += size
        self._head_fields += fields
        if self._head_bytes > self._bounds.head_bytes or self._head_fields > self._bounds.head_fields:
            self._refusal = self._head_too_large()
            raise _RefusedError

    def _head_too_large(self) -> Refusal:
        return head_too_large(self._bounds.head_bytes, self._bounds.head_fields)

    def _is_idle(self) -> bool:
        """All requests are answered."""
        latest: RequestResponseCycle | None = getattr(self, "cycle", None)  # uvicorn's type hides that none was yet
        return latest is None or latest.response_complete

    def _is_owed(self) -> bool:
        """Bytes that the client has sent, or will send, are unread when the connection closes now."""
        return self._is_broken or not self._is_in_head

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(self._bounds.head_s, self._give_up_head)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        self._all.count("head_timeout")
        self.give_way()

    def _refuse(self, refusal: Refusal) -> None:
        """Close, and say why, unless that would be taken for the answer, or a part of it, to a request before."""
        assert self._line is not None  # noqa: S101  made with the connection
        self._is_broken = True
        self._all.count(refusal.reason)
        answered = self._answered
        if answered is None or answered.response_complete or (answered.more_body and not answered.response_started):
            self._line.write(refusal.reply())
        self._hang_up()
        self._line.close()
        self._all.wait(self)

    def _hang_up(self) -> None:
        """Tell the answer under way, which is not always that to the last request, that nobody is there for it."""
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()


async def _answer(
    app: ASGI3Application,
    cycle: RequestResponseCycle,
    scope: Scope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Run the application; a reply before the end of a body that is long, or has none to be seen, is the last one."""

    async def watched(message: ASGISendEvent) -> None:
        if not cycle.response_started and cycle.more_body and _is_long(cycle):
            cycle.keep_alive = False
        await send(message)

    await app(scope, receive, watched)


def _is_long(cycle: RequestResponseCycle) -> bool:
    if cycle.waiting_for_100_continue:
        return True  # whether it will be sent at all, nobody knows
    lengths = [value for name, value in cycle.scope["headers"] if name == b"content-length"]
    return not lengths or int(lengths[0]) > _READ_OVER_BYTES
