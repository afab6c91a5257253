"""VllmWatch: reads what a vLLM server counts of itself, whoever asks for it or not."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from service.budget import Deadline
from service.errors import GenerationError
from service.generation.chat_client import ChatClient
from service.generation.vllm_figures import Scrape, VllmFigures, figures

_EVERY_S = 5.0
_WINDOW_S = 60.0
_PATIENCE_MS = 2000

_log = logging.getLogger("quarry.llm")


@dataclass(frozen=True, slots=True)
class VllmState:
    """What was last read.

    Attributes:
        age_s: of the reading; None before the first.
        trouble: why the last look brought nothing; None where it did.
        figures: None before the first reading.
    """

    age_s: float | None
    trouble: str | None
    figures: VllmFigures | None


class VllmWatch:
    """One look at a time, each bounded; an async context manager that owns its task and the client.

    Args:
        every_s: from the end of a look to the next.
        window_s: that figures are of; readings that are older are forgotten.
    """

    def __init__(
        self,
        client: ChatClient,
        every_s: float = _EVERY_S,
        window_s: float = _WINDOW_S,
        patience_ms: int = _PATIENCE_MS,
    ) -> None:
        self._client = client
        self._every_s = every_s
        self._window_s = window_s
        self._patience_ms = patience_ms
        self._scrapes: deque[Scrape] = deque()
        self._trouble: str | None = "it was not asked yet"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="vllm-metrics")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.aclose()

    def describe(self) -> VllmState:
        """At once, whatever the server does."""
        if not self._scrapes:
            return VllmState(None, self._trouble, None)
        first, last = self._scrapes[0], self._scrapes[-1]
        return VllmState(time.monotonic() - last.at, self._trouble, figures(first, last))

    async def look(self) -> None:
        """Ask once.

        Raises:
            GenerationError: it does not answer.
            ValueError: what it answers are no metrics of vLLM.
        """
        asked_at = time.monotonic()
        text = await self._client.metrics(Deadline.after(self._patience_ms))
        self._add(await asyncio.to_thread(Scrape.of, text, asked_at))

    def _add(self, scrape: Scrape) -> None:
        if self._scrapes and not scrape.follows(self._scrapes[-1]):
            self._scrapes.clear()  # another process, which counts from 0
        self._scrapes.append(scrape)
        while scrape.at - self._scrapes[0].at > self._window_s:
            self._scrapes.popleft()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
                self._trouble = None
            except GenerationError as error:
                self._trouble = error.outline
            except ValueError:
                self._trouble = "its /metrics are not vLLM's"
            except Exception as error:  # a loop edge: the figures are of no use to any question
                trouble = f"they could not be read: {type(error).__name__}"
                if trouble != self._trouble:
                    _log.exception("a vLLM server's metrics could not be read in a way that was not foreseen")
                self._trouble = trouble
            await asyncio.sleep(self._every_s)
