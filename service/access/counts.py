"""Counts: how much each key has asked for, counted by one process or by several together."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from service.access.key import KeyLimits

Unit = Literal["requests", "tokens"]
Limit = Literal["requests", "tokens", "concurrency"]

WINDOW_S = 60
# A slot is free when a request ends, and nobody knows when that is.
SLOT_S = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a key has left of a limit.

    Attributes:
        limit: in a minute.
        reset_s: until all of it is there again.
    """

    unit: Unit
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit that is used up.

    Attributes:
        after_s: until it may be worth while to ask again.
    """

    limit: Limit
    after_s: float


class Slot:
    """One of the requests that a key may have at a time.

    Args:
        on_end: called once.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end: Callable[[], None] | None = on_end

    def give_back(self) -> None:
        """The request has ended; to say it again changes nothing."""
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()


class Counts(Protocol):
    """By key, on the event loop; an async context manager.

    A window begins with the first request or token after the last one ended, and takes a minute.
    """

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    async def take(self, key_id: str, limits: KeyLimits) -> Slot | Refusal:
        """Take a request on, unless it is one too many; what is refused is not counted."""

    async def spend(self, key_id: str, limit: int, tokens: int) -> None:
        """Count tokens of a key that may have ``limit`` in a minute, also beyond that."""

    async def standings(self, key_id: str, limits: KeyLimits) -> list[Standing]:
        """What is left of each limit that has a window."""

    def running(self, key_id: str) -> int:
        """Requests of this process that were taken on and have not ended."""


def windows_of(limits: KeyLimits) -> list[tuple[Unit, int]]:
    """Those of the limits that have a window."""
    known: tuple[tuple[Unit, int | None], ...] = (
        ("requests", limits.requests_per_minute),
        ("tokens", limits.tokens_per_minute),
    )
    return [(unit, limit) for unit, limit in known if limit is not None]
