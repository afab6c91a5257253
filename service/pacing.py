"""Pacing: a language model that falls silent is cut off, whatever its client waits for."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from service.budget import Deadline
from service.errors import LlmTimeoutError
from service.generation.base import Delta, Event, Heard
from service.settings import BudgetSettings
from service.telemetry.timings import Timings

# A generator knows the deadline, and should be the one to notice that it passed: what is cut from here looks to it like
# a caller that left, and tells it nothing about its server.
_GRACE_S = 0.05


@dataclass(frozen=True, slots=True)
class Pacing:
    """The patience with one answer, and how much of it was needed.

    Args:
        timings: told the time to the first text and the longest between two events after it, for their budgets.
    """

    budgets: BudgetSettings
    timings: Timings

    async def paced(self, events: AsyncGenerator[Event, None], deadline: Deadline) -> AsyncGenerator[Event, None]:
        """The events, as long as the first text comes within ``llm_ttft_ms`` and each later one within ``llm_itl_ms``.

        ``Heard`` counts as text, as that is what came of the model, and goes no further. Only the wait for an event
        counts, not what its reader does before it asks for the next.

        Raises:
            LlmTimeoutError: one did not, or the deadline passed; ``events`` is closed.
        """
        latest = deadline.later(_GRACE_S)
        limit = latest.within(self.budgets.llm_ttft_ms, "budgets.llm_ttft_ms")
        stage, began, has_text = "llm_ttft", time.perf_counter(), False
        async with aclosing(events):
            while (event := await self._next(events, limit, stage)) is not None:
                has_text = has_text or isinstance(event, Delta | Heard)
                if has_text:
                    self._took(stage, time.perf_counter() - began)
                if not isinstance(event, Heard):
                    yield event
                if has_text:
                    limit = latest.within(self.budgets.llm_itl_ms, "budgets.llm_itl_ms")
                    stage, began = "llm_itl", time.perf_counter()

    def _took(self, stage: str, seconds: float) -> None:
        self.timings.spend(stage, seconds)
        if stage == "llm_itl":  # as the reader of the answer sees it; the first text is timed where it is shown
            self.timings.put(stage, self.timings.spent[stage])

    async def _next(self, events: AsyncGenerator[Event, None], limit: Deadline, stage: str) -> Event | None:
        try:
            async with asyncio.timeout(limit.remaining()):
                return await anext(events, None)
        except TimeoutError:
            if limit.is_budget:
                self.timings.spend(stage, math.inf)
            raise LlmTimeoutError(
                f"the language model wrote nothing more within the {limit.limit} of {limit.budget_s * 1000:.0f} ms"
            ) from None
