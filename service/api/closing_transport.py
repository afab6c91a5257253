"""ClosingTransport: a connection whose end neither takes the last reply with it nor waits for ever."""

import asyncio
from collections.abc import Callable
from typing import Any

# Once the last reply is written, for the client to see it and to close its side: without a byte, and in all.
_LINGER_S = 5.0
_LINGER_LONGEST_S = 30.0


class ClosingTransport(asyncio.Transport):
    """What a protocol writes to, around the transport of the event loop.

    A socket that is closed while bytes of its client are unread is reset, and a client that is still sending loses
    the reply. So where ``is_owed`` says that bytes are still to come, closing means to say that nothing more will be
    written, and to read on for a while. And where a client takes nothing of what is written, closing would wait for
    it for ever; so would writing.

    Args:
        inner: of the event loop.
        loop: whose timers are used.
        is_owed: whether bytes of a request are still to come.
        on_stuck: called before a client that takes nothing is given up.
        stall_s: that a client may take nothing of what is written for it.
    """

    def __init__(
        self,
        inner: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        is_owed: Callable[[], bool],
        on_stuck: Callable[[], None],
        stall_s: float,
    ) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._is_owed = is_owed
        self._on_stuck = on_stuck
        self._stall_s = stall_s
        self._is_closing = False
        self._linger_until = 0.0
        self._lingering: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As of the transport inside; nothing any more once it closes."""
        if not self._is_closing:
            self._inner.write(data)

    def is_closing(self) -> bool:
        """It closes, if it does not read on just for the client to see its reply."""
        return self._is_closing or self._inner.is_closing()

    def pause_reading(self) -> None:
        """As of the transport inside."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """As of the transport inside."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  as asyncio has it
        """As of the transport inside."""
        return self._inner.get_extra_info(name, default)

    def abort(self) -> None:
        """Close at once, whatever is lost by it."""
        self._is_closing = True
        self._inner.abort()

    def close(self) -> None:
        """Close in order."""
        if self.is_closing():
            return
        self._is_closing = True
        if self._is_owed() and self._inner.can_write_eof():
            self._inner.write_eof()
            self._inner.resume_reading()
            self._linger_until = self._loop.time() + _LINGER_LONGEST_S
            self.linger()
        else:
            self._inner.close()
        self.watch()

    def linger(self) -> None:
        """Wait for more bytes, which nobody will read, or for the client to close."""
        if self._lingering is not None:
            self._lingering.cancel()
        until = min(self._loop.time() + _LINGER_S, self._linger_until)
        self._lingering = self._loop.call_at(until, self._inner.close)

    def watch(self) -> None:
        """Give the client up when it takes nothing of what is written."""
        if self._watching is None:
            self._look_again(self._inner.get_write_buffer_size())

    def unwatch(self) -> None:
        """It has taken what there was, or most of it."""
        if self._watching is not None and not self._is_closing:
            self._watching.cancel()
            self._watching = None

    def lost(self) -> None:
        """The connection is gone."""
        self._is_closing = True
        for timer in filter(None, (self._lingering, self._watching)):
            timer.cancel()
        self._lingering = self._watching = None

    def _look_again(self, size: int) -> None:
        self._watching = self._loop.call_later(self._stall_s, self._look, size)

    def _look(self, before: int) -> None:
        size = self._inner.get_write_buffer_size()
        if 0 < size >= before:
            self._on_stuck()
            self.abort()
        elif size:
            self._look_again(size)
        else:
            self._watching = None
