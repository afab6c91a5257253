"""Who may speak: a bounded number at once, the others in order of priority and arrival."""

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.refusals import Refusal


class Scheduler:
    """Sequences running, waiting, finished and aborted.

    Attributes:
        aborted: their client hung up before the end.
        refused: found the queue full.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: list[tuple[int, int, asyncio.Event]] = []
        self._arrivals = itertools.count()
        self._open = 0
        self.running = 0
        self.finished = 0
        self.aborted = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Sequences that wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """The time a request is open.

        Raises:
            Refusal: there are too many, running and waiting together.
        """
        limit = self._options.max_num_queued_reqs
        if limit is not None and self._open >= limit:
            self.refused += 1
            raise Refusal.busy()
        self._open += 1
        try:
            yield
            self.finished += 1
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self._open -= 1

    async def turn(self, priority: int) -> None:
        """Wait to run; ``leave`` follows once, unless this was cancelled."""
        if self.running < self._options.max_num_seqs:
            self.running += 1
            return
        called = asyncio.Event()
        entry = (priority if self._options.by_priority else 0, next(self._arrivals), called)
        heapq.heappush(self._waiting, entry)
        try:
            await called.wait()
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            if called.is_set():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the first who waits."""
        if self._waiting:
            heapq.heappop(self._waiting)[-1].set()
        else:
            self.running -= 1
