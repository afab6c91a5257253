"""Deadline: the time a request has, carried with it from admission to the last byte."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute monotonic time.

    Attributes:
        at: ``time.monotonic()`` seconds.
        budget_s: the whole budget, for messages.
    """

    at: float
    budget_s: float

    @classmethod
    def after(cls, milliseconds: int) -> "Deadline":
        """``milliseconds`` from now."""
        return cls(time.monotonic() + milliseconds / 1000, milliseconds / 1000)

    def earlier(self, seconds: float) -> "Deadline":
        """The same budget, ending ``seconds`` sooner."""
        return Deadline(self.at - seconds, self.budget_s)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    @asynccontextmanager
    async def enforced(self, stage: str) -> AsyncIterator[None]:
        """Cancel the block when the time is up.

        Raises:
            DeadlineExceededError: naming ``stage``.
        """
        try:
            async with asyncio.timeout(self.remaining()):
                yield
        except TimeoutError:
            raise DeadlineExceededError(stage, self.budget_s) from None
