"""Spending: what the models read and wrote, told to whoever counts it."""

from collections.abc import Awaitable, Callable

Spent = Callable[[str, int], Awaitable[None]]
"""(caller's name, tokens) -> counted; on the event loop."""


async def uncounted(caller: str, tokens: int) -> None:
    """Nobody counts."""
