"""The canary: a completion of one token that tells whether a model server lives, sent when there is reason to ask."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from service.errors import GenerationError, LlmRefusedError
from service.generation.circuit_breaker import BreakerState
from service.generation.server_health import ServerHealth

_log = logging.getLogger("quarry.llm")

# Between two canaries while the server is silent, seconds, with a jitter of half; a restart is noticed this late.
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0
# After one that was answered: a canary costs the server a sequence, whatever arouses suspicion.
_REST_S = 1.0


class Canary:
    """One background task that asks the server while the breaker is open or something is suspicious.

    Args:
        wanted: set when there is reason to ask.
        ask: sends one; raises GenerationError, within a few seconds.
        learn: reads what the server says of itself; called at the start, until that was heard, and when it is back
            from trouble. True unless it could not be reached.
    """

    def __init__(
        self,
        health: ServerHealth,
        wanted: asyncio.Event,
        ask: Callable[[], Awaitable[None]],
        learn: Callable[[], Awaitable[bool]],
    ) -> None:
        self._health = health
        self._ask = ask
        self._learn = learn
        self._wanted = wanted
        self._has_learned = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="quarry-canary")

    async def close(self) -> None:
        """End the watch."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        try:
            self._has_learned = await self._learn()
        except Exception:  # as in _is_settled: nobody else would start this task again
            _log.exception("the language model's server says something of itself that was not foreseen")
        if not self._has_learned:
            self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for pause_s in _pauses():
                if await self._is_settled():
                    break
                await asyncio.sleep(pause_s)
            await asyncio.sleep(_REST_S)

    async def _is_settled(self) -> bool:
        """True when nothing is left to ask: the server lives, or it refuses what it was never suspected for."""
        try:
            return await self._is_alive()
        except Exception:  # without this task an open breaker would stay open for ever
            _log.exception("the canary failed in a way that was not foreseen")
            return False

    async def _is_alive(self) -> bool:
        health, breaker, began = self._health, self._health.breaker, time.monotonic()
        if health.supervision.trouble:
            return False  # whoever runs the server asks it, and says when it is ready
        if health.misfit:  # it would refuse the question, whose model it does not have
            self._has_learned = await self._learn()
            return self._has_learned
        breaker.try_out()
        try:
            await self._ask()
        except GenerationError as error:
            # Where others got text meanwhile, it only stood behind them: busy is not dead.
            if not health.is_busy(error, time.monotonic() - began):
                if breaker.state is BreakerState.CLOSED and isinstance(error, LlmRefusedError):
                    return True  # it lives enough to refuse, and nothing is known against it
                breaker.open(f"canary: {error}")
                return False
        await self._close()
        return True

    async def _close(self) -> None:
        was_in_trouble = self._health.breaker.state is not BreakerState.CLOSED
        self._health.recovered()
        if was_in_trouble:
            _log.info("the language model answers again")
        if was_in_trouble or not self._has_learned:
            self._has_learned = await self._learn()


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.5)  # noqa: S311  to spread load, not to keep a secret
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
