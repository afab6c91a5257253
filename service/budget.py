"""Deadline: the time a request has, carried with it from admission to the last byte."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from service.errors import DeadlineExceededError

# Timers of the event loop may go off a little before their time.
EARLY_S = 0.01
_DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute monotonic time.

    Attributes:
        at: ``time.monotonic()`` seconds.
        budget_s: the whole budget, for messages.
        limit: what set it, for messages: the request's deadline, or the setting of a stage's budget.
    """

    at: float
    budget_s: float
    limit: str = _DEADLINE

    @classmethod
    def after(cls, milliseconds: int) -> "Deadline":
        """``milliseconds`` from now."""
        return cls(time.monotonic() + milliseconds / 1000, milliseconds / 1000)

    def earlier(self, seconds: float) -> "Deadline":
        """The same budget, ending ``seconds`` sooner."""
        return replace(self, at=self.at - seconds)

    def later(self, seconds: float) -> "Deadline":
        """The same budget, ending ``seconds`` later: for whoever sees to it that another one kept it."""
        return self.earlier(-seconds)

    def within(self, milliseconds: int | None, setting: str) -> "Deadline":
        """Of a stage that begins now: its budget ends it where that is sooner; None is no budget.

        Args:
            setting: the name of the budget, for messages.
        """
        if milliseconds is None:
            return self
        stage = replace(self.after(milliseconds), limit=setting)
        return stage if stage.at < self.at else self

    def exceeded(self, stage: str) -> DeadlineExceededError:
        """The error for a stage that was not done in time."""
        return DeadlineExceededError(stage, self.budget_s, self.limit)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    @property
    def is_budget(self) -> bool:
        """The budget of a stage set it, and not the request."""
        return self.limit != _DEADLINE

    @property
    def has_passed(self) -> bool:
        """What waited for it has been woken."""
        return self.remaining() <= EARLY_S

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
            raise self.exceeded(stage) from None
