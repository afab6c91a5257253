"""Whether a model server is asked at all: not after it failed several times in a row, until it answered a canary."""

from collections.abc import Callable
from enum import IntEnum

# One failure may be chance, and two the same restart; each costs a user the time until it is noticed.
_FAILURES = 3


class BreakerState(IntEnum):
    """As the metric shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Opens after three failures without a success between them.

    Users' requests never try an open one: the canary does, and only it closes it. A success that was on its way when
    it opened is no news.

    Args:
        on_open: called when it opens.
    """

    def __init__(self, on_open: Callable[[], None]) -> None:
        self._on_open = on_open
        self._failures = 0
        self.state = BreakerState.CLOSED
        self.cause: str | None = None

    def succeeded(self) -> None:
        """A request was answered to its end."""
        if self.state is BreakerState.CLOSED:
            self._failures = 0

    def failed(self, cause: str) -> None:
        """The server failed a request."""
        self._failures += 1
        if self.state is BreakerState.CLOSED and self._failures >= _FAILURES:
            self.open(cause)

    def open(self, cause: str) -> None:
        """No request is sent any more."""
        opens = self.state is BreakerState.CLOSED
        self.state, self.cause = BreakerState.OPEN, cause
        if opens:
            self._on_open()

    def try_out(self) -> None:
        """The canary is on its way."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN

    def close(self) -> None:
        """The canary was answered."""
        self.state, self.cause, self._failures = BreakerState.CLOSED, None, 0
