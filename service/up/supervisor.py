"""Supervisor: the story of `quarry up`, from the first start to the end in order."""

import asyncio

from service.up.drain import drain
from service.up.events import report
from service.up.kept_llm import KeptLlm
from service.up.kept_serve import KeptServe

# For what is left to be cleared and said of processes that have ended; one that was never started says nothing.
_LAST_WORDS_S = 1.0


class Supervisor:
    """Keeps `quarry serve`, and beside it the server of a language model, until it is told to stop."""

    def __init__(self, serve: KeptServe, llm: KeptLlm | None) -> None:
        self._serve = serve
        self._llm = llm
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    def stop(self) -> None:
        """End in order; said twice, at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        """Keep both until ``stop``.

        The server of the language model waits for `quarry serve` each time it starts: see ``KeptServe.hold``.

        Raises:
            UpError: `quarry serve` cannot be started.
        """
        keeping = [asyncio.create_task(self._serve.keep(), name="serve")]
        if self._llm:
            keeping.append(asyncio.create_task(self._llm.keep(), name="llm"))
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({*keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await drain(self._serve, self._llm, self._hurry)
        await asyncio.wait(keeping, timeout=_LAST_WORDS_S)
        for task in (*keeping, stopping):
            task.cancel()
        for outcome in await asyncio.gather(*keeping, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        report("up", "ended")
