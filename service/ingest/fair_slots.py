"""FairSlots: places that are waited for, in turns between callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.ingest.places import Claim, Places
from service.ingest.turns import Turn, Turns


@dataclass(eq=False, slots=True)
class _Waiter:
    claim: Claim
    called: "asyncio.Future[None]"


class FairSlots:
    """So many at a time, as ``Places``; for the event loop only. Whoever is in it may wait as long as it takes."""

    def __init__(self, total: int, kept: int = 1) -> None:
        self._places = Places(total, kept)
        self._waiting: Turns[_Waiter] = Turns()

    @asynccontextmanager
    async def taken(self, claim: Claim, line: str = "") -> AsyncIterator[None]:
        """Have a place, to the end of the block.

        Args:
            line: of those of one caller, the lines take turns.
        """
        waiter, turn = _Waiter(claim, asyncio.get_running_loop().create_future()), Turn(claim.caller, line)
        self._waiting.put(turn, waiter)
        self._call()
        try:
            await waiter.called
            yield
        finally:
            if waiter.called.done() and not waiter.called.cancelled():
                self._places.give_back(waiter)
            else:
                self._waiting.remove(turn, waiter)
            self._call()

    def _call(self) -> None:
        """Give out what is free."""
        while (waiter := self._waiting.take(self._may, self._places.count)) is not None:
            self._places.take(waiter, waiter.claim)
            waiter.called.set_result(None)

    def _may(self, waiter: _Waiter) -> bool:
        return not waiter.called.done() and self._places.has_room(waiter.claim)
