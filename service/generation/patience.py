"""How long one call of a model server is waited for: for its first text, and for all of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.budget import Deadline
from service.errors import LlmTimeoutError

# Of the time that is left when the call is sent: a first text later than this leaves none for the text after it, and
# whoever waits is better served by another answer.
_FIRST_TEXT_SHARE = 0.75


class Patience:
    """The waits of one call, from the request's deadline. It begins when it is made."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._began = time.monotonic()
        self._first_text_s = _FIRST_TEXT_SHARE * deadline.remaining()
        self._heard = False
        self._is_given_up = False
        self._limit: asyncio.Timeout | None = None

    @property
    def waited_s(self) -> float:
        """Seconds since the call was sent."""
        return time.monotonic() - self._began

    def heard(self) -> None:
        """The first text came: from now on the deadline alone counts."""
        self._heard = True

    def give_up(self) -> None:
        """Wait no longer for a first text."""
        self._is_given_up = True
        if self._limit and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def applied(self) -> AsyncIterator[None]:
        """Cancel the block when the time is up. It must not yield to a consumer: that one would be cancelled instead.

        Raises:
            LlmTimeoutError: no first text, or no end, in time.
        """
        try:
            async with asyncio.timeout(self.left_s()) as limit:
                self._limit = limit
                try:
                    yield
                finally:
                    self._limit = None
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LlmTimeoutError(self._complaint()) from error

    def left_s(self) -> float:
        """Seconds until the wait is over, never below 0."""
        left = self._deadline.remaining()
        if self._is_given_up and not self._heard:
            return 0.0
        return left if self._heard else min(left, max(0.0, self._first_text_s - self.waited_s))

    def _complaint(self) -> str:
        if self._is_given_up:
            return f"no text within {self.waited_s:.1f} s, and the server came into trouble"
        if self._heard or self._deadline.remaining() == 0.0:
            return f"no complete answer within {self._deadline.budget_s:.1f} s"
        return f"no text within {self._first_text_s:.1f} s, a deadline of {self._deadline.budget_s:.1f} s ahead"
