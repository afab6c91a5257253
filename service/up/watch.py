"""Watch: one life of a vLLM server, from its start to the moment it must be killed."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from service.up.canary import Canary, CanaryError
from service.up.durations import Durations
from service.up.liveness import Liveness

# A look that comes later than this says that the parent itself stood still: suspended, or starved by a busy machine.
_LATE_S = 1.0

_log = logging.getLogger("quarry.up")


class Watch:
    """Asks and counts, and says what phase the server is in.

    Attributes:
        ready_at: when it first was ready; None before.

    Args:
        start_s: longest time to its first token.
        token_at: when a stream of it last moved.
        tell: called with each new phase, and why.
    """

    def __init__(
        self,
        canary: Canary,
        durations: Durations,
        start_s: float,
        token_at: Callable[[], float],
        tell: Callable[[str, str], None],
    ) -> None:
        self._canary = canary
        self._durations = durations
        self._start_s = start_s
        self._token_at = token_at
        self._tell = tell
        self._answer = "no answer on its socket"
        self.ready_at: float | None = None

    async def run(self) -> str:
        """Watch until there is no hope left; why there is none."""
        try:
            async with asyncio.timeout(self._start_s):
                await self._first_token()
        except TimeoutError:
            return f"no token within {self._start_s:g} s of its start: {self._answer}"
        self.ready_at = time.monotonic()
        self._tell("ready", "")
        liveness = Liveness(self.ready_at, self._durations.frozen_after_s)
        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(self._ask(liveness)), group.create_task(self._count(liveness))]
            why = await self._judge(liveness)
            for task in looking:
                task.cancel()
        return why

    async def _first_token(self) -> None:
        while True:
            try:
                if await self._canary.is_healthy(self._durations.canary_s):
                    return await self._canary.token(self._start_s)
            except CanaryError as error:
                self._hear(str(error))
            except Exception as error:  # a loop edge, as in _looked
                self._hear(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._durations.look_s)

    def _hear(self, answer: str) -> None:
        """An answer without a token, such as a refusal that will not change: to be seen before the time is up."""
        if answer != self._answer:
            self._answer = answer
            self._tell("starting", answer)

    async def _ask(self, liveness: Liveness) -> None:
        while True:
            asked = time.monotonic()
            with _looked(), suppress(CanaryError):  # no sign of life, which is what silence says already
                await self._canary.token(self._durations.canary_s)
                liveness.see(time.monotonic())
            await asyncio.sleep(max(self._durations.look_s, asked + self._durations.canary_every_s - time.monotonic()))

    async def _count(self, liveness: Liveness) -> None:
        while True:
            asked = time.monotonic()
            with _looked():
                counters = await self._canary.counters(self._durations.canary_s)
                if counters is not None:
                    liveness.count(counters, asked)
            await asyncio.sleep(max(self._durations.look_s, asked + self._durations.count_every_s - time.monotonic()))

    async def _judge(self, liveness: Liveness) -> str:
        frozen_at: float | None = None
        looked = time.monotonic()
        while True:
            await asyncio.sleep(self._durations.look_s)
            now = time.monotonic()
            late = now - looked - self._durations.look_s
            looked = now
            liveness.see(self._token_at())
            if late > _LATE_S:
                liveness.excuse(late)
                frozen_at = frozen_at and frozen_at + late
            if not liveness.is_frozen(now):
                if frozen_at is not None:
                    self._tell("ready", "")
                frozen_at = None
            elif frozen_at is None:
                frozen_at = now
                self._tell("frozen", f"no token, no canary and no counter has moved for {liveness.silent_s(now):.1f} s")
            elif now - frozen_at >= self._durations.killed_after_s:
                return f"frozen for {now - frozen_at:.0f} s"


@contextmanager
def _looked() -> Iterator[None]:
    """A look that fails, however it does, saw nothing."""
    try:
        yield
    except Exception:  # a loop edge: the end of the watch would be the end of a server that may be well
        _log.exception("a look at the language model's server failed in a way that was not foreseen")
