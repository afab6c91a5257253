"""BulkHold: a gate that bulk work passes before each of its steps."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from service.errors import BulkHeldError

# Below the patience of `quarry ingest`, which sends again what was refused.
_LONGEST_WAIT_S = 60.0
# Of a request before its body, which meanwhile has one of its key's places.
_BRIEF_WAIT_S = 5.0
_RETRY_AFTER_S = 10.0


class Cause(StrEnum):
    """Why the gate is closed, for messages."""

    START = "the language model's server starts"
    MEMORY = "memory is above its low mark"


class BulkHold:
    """Open until ``hold``; queries never come here. It opens when every cause is over.

    While a language model's server starts it takes every change of the card's free memory for its own, so that ingest
    and the building of indexes wait for its end. Near the limit of memory they wait so that queries need not fail.

    Args:
        longest_wait_s: at the gate, for those who name no time themselves.
    """

    def __init__(self, longest_wait_s: float = _LONGEST_WAIT_S) -> None:
        self._longest_wait_s = longest_wait_s
        self._open, self._quiet = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._quiet.set()
        self._closing = asyncio.Event()
        self._causes: set[Cause] = set()
        self._steps = 0

    @property
    def is_held(self) -> bool:
        """No further step begins."""
        return not self._open.is_set()

    def hold(self, cause: Cause) -> None:
        """Let nobody begin a step."""
        self._causes.add(cause)
        self._open.clear()

    def release(self, cause: Cause) -> None:
        """Let everybody go on, unless there is another cause."""
        self._causes.discard(cause)
        if not self._causes:
            self._open.set()

    def close(self) -> None:
        """The process ends: refuse at once whoever waits for a time, and whoever comes while the gate is closed."""
        self._closing.set()

    async def quiet(self, within_s: float) -> bool:
        """Wait until no step is under way; False when that takes longer than ``within_s``."""
        try:
            async with asyncio.timeout(within_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def step(self, longest_wait_s: float | None = None) -> AsyncIterator[None]:
        """One step of bulk work, after a wait at the gate.

        Args:
            longest_wait_s: ``math.inf`` waits until the gate opens, as the lifespan's own tasks do.

        Raises:
            BulkHeldError: the gate stayed closed for ``longest_wait_s``.
        """
        await self.enter(longest_wait_s)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, longest_wait_s: float | None = None) -> None:
        """Begin a step, which ``leave`` ends. As ``step``, for work that outlives its caller."""
        await self.opened(longest_wait_s)
        self._steps += 1
        self._quiet.clear()

    async def opened_briefly(self) -> None:
        """Wait at the gate for some seconds and begin nothing, for whoever would hold a body meanwhile. As ``step``."""
        await self.opened(min(_BRIEF_WAIT_S, self._longest_wait_s))

    async def opened(self, longest_wait_s: float | None = None) -> None:
        """Wait at the gate and begin nothing. As ``step``."""
        wait_s = self._longest_wait_s if longest_wait_s is None else longest_wait_s
        if math.isinf(wait_s):
            while not self._open.is_set():
                await self._open.wait()
        elif not self._open.is_set():
            await self._wait(wait_s)

    def leave(self) -> None:
        """End a step."""
        self._steps -= 1
        if not self._steps:
            self._quiet.set()

    async def _wait(self, wait_s: float) -> None:
        began = time.monotonic()
        ends = {asyncio.ensure_future(event.wait()) for event in (self._open, self._closing)}
        try:
            await asyncio.wait(ends, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        if not self._open.is_set():
            waited_s = time.monotonic() - began
            causes = " and ".join(sorted(self._causes))
            raise BulkHeldError(f"bulk work is held while {causes}; it waited {waited_s:.3g} s", _RETRY_AFTER_S)
