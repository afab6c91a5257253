"""Supervised: what ``quarry up`` says of the language model's server, and what it hears back."""

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from typing import Self

from service.bulk_hold import BulkHold, Cause
from service.generation.supervision import Supervision
from service.link import Link

# A step of bulk work, such as building an index, may take longer: then vLLM starts beside it.
_QUIET_WITHIN_S = 30.0
_TOKEN_EVERY_S = 1.0

_log = logging.getLogger("quarry.supervised")


class Supervised:
    """Follows the link to the parent; an async context manager that the lifespan owns. Idle without a link.

    Args:
        descriptor: of this process's end of the link; None where nobody supervises.
        supervisions: of the managed language models, by name.
        hold: closed while a language model's server starts.
    """

    def __init__(self, descriptor: int | None, supervisions: Mapping[str, Supervision], hold: BulkHold) -> None:
        self._descriptor = descriptor
        self._supervisions = supervisions
        self._hold = hold
        self._link: Link | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._answer: asyncio.Task[None] | None = None
        self._token_at = 0.0

    async def __aenter__(self) -> Self:
        """Take the link up.

        Raises:
            OSError: the descriptor is none of a socket.
        """
        if self._descriptor is not None:
            end = socket.socket(fileno=self._descriptor)
            end.set_inheritable(False)  # a child that kept it open would hide this process's death
            self._link = await Link.over(end)
            self._tasks.append(asyncio.create_task(self._listen(self._link), name="supervised"))
            for supervision in self._supervisions.values():
                supervision.on_token = self._report_token
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *([self._answer] if self._answer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link:
            self._link.close()

    def shut_down(self) -> None:
        """Let nobody wait any more for the end of a start that the process will not see."""
        self._hold.close()

    def describe(self) -> dict[str, object]:
        """Phase and reason of each managed language model, and whether bulk work is held."""
        phases = {name: {"phase": seen.phase, "why": seen.why} for name, seen in self._supervisions.items()}
        return {"llm": phases, "bulk_work": "held" if self._hold.is_held else "running"}

    def report_ready(self) -> None:
        """This process answers requests."""
        if self._link:
            self._link.send({"ready": True})

    def _report_token(self) -> None:
        now = time.monotonic()
        if self._link and now - self._token_at >= _TOKEN_EVERY_S:
            self._token_at = now
            self._link.send({"token_at": now})

    async def _listen(self, link: Link) -> None:
        async for message in link.messages():
            match message:
                case {"llm": str(name), "phase": str(phase), "why": str(why)} if name in self._supervisions:
                    self._enter(link, name, phase, why)
                case _:
                    _log.warning("the parent said what nobody here understands: %s", message)
        _log.warning("the parent process is gone; nobody keeps the language model's server alive now")
        for supervision in self._supervisions.values():
            supervision.enter("unsupervised")
        self._let_go()

    def _enter(self, link: Link, name: str, phase: str, why: str) -> None:
        _log.info("the server of llm %s is %s", name, phase, extra={"why": why})
        self._supervisions[name].enter(phase, why)
        self._let_go()
        if phase == "starting":
            self._hold.hold(Cause.START)
            self._answer = asyncio.create_task(self._answer_when_quiet(link), name="supervised-held")

    def _let_go(self) -> None:
        if self._answer:
            self._answer.cancel()
            self._answer = None
        self._hold.release(Cause.START)

    async def _answer_when_quiet(self, link: Link) -> None:
        if not await self._hold.quiet(_QUIET_WITHIN_S):
            _log.warning("bulk work is still under way after %g s; the server starts beside it", _QUIET_WITHIN_S)
        link.send({"held": True})
