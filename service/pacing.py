"""Pacing: a language model that falls silent is cut off, whatever its client waits for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.budget import Deadline
from service.errors import LlmTimeoutError
from service.generation.base import Delta, Event, Heard
from service.settings import BudgetSettings

# A generator knows the deadline, and should be the one to notice that it passed: what is cut from here looks to it like
# a caller that left, and tells it nothing about its server.
_GRACE_S = 0.05


async def paced(
    events: AsyncGenerator[Event, None], deadline: Deadline, budgets: BudgetSettings
) -> AsyncGenerator[Event, None]:
    """The events, as long as the first text comes within ``llm_ttft_ms`` and each later event within ``llm_itl_ms``.

    ``Heard`` counts as text, as that is what came of the model, and goes no further. Only the wait for an event counts,
    not what its reader does before it asks for the next.

    Raises:
        LlmTimeoutError: one did not, or the deadline passed; ``events`` is closed.
    """
    latest = deadline.later(_GRACE_S)
    limit = latest.within(budgets.llm_ttft_ms, "budgets.llm_ttft_ms")
    has_text = False
    async with aclosing(events):
        while (event := await _next(events, limit)) is not None:
            has_text = has_text or isinstance(event, Delta | Heard)
            if not isinstance(event, Heard):
                yield event
            if has_text:
                limit = latest.within(budgets.llm_itl_ms, "budgets.llm_itl_ms")


async def _next(events: AsyncGenerator[Event, None], limit: Deadline) -> Event | None:
    try:
        async with asyncio.timeout(limit.remaining()):
            return await anext(events, None)
    except TimeoutError:
        raise LlmTimeoutError(
            f"the language model wrote nothing more within the {limit.limit} of {limit.budget_s * 1000:.0f} ms"
        ) from None
