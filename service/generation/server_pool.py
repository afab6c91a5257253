"""ServerPool: the servers of one language model, behind one queue, each question to the one with the least to do."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from service.errors import LlmNotAskedError, LlmServerNotFoundError
from service.generation.admitted import Admitted
from service.generation.base import Expectation, LlmCall
from service.generation.model_server import ModelServer, Told
from service.generation.outcomes import counted
from service.generation.pooled_server import PooledServer
from service.generation.slots import Slots
from service.generation.supervision import Supervision
from service.generation.work import Work
from service.llm_settings import LlmSettings, server_name
from service.spending import Spent
from service.telemetry.llm import LlmMeters

_log = logging.getLogger("quarry.llm")


class ServerPool:
    """One or several servers of the same model, in the order in which they are configured.

    An answer goes to the server with the fewest outstanding tokens of those that are well, not drained and have a
    place; among equals to the first. While all are full it waits, and goes where a place comes free first.

    Args:
        urls: where they listen.
        supervision: what runs the server, if it is ours; only a single one can be.
        spent: told of the tokens of what was asked, as soon as something is written, however it ends.

    Attributes:
        meters: of the language model.
    """

    def __init__(
        self,
        settings: LlmSettings,
        urls: Sequence[str],
        supervision: Supervision | None,
        meters: LlmMeters,
        spent: Spent,
    ) -> None:
        self.meters = meters
        self._slots: Slots[PooledServer] = Slots(settings.max_queued, self._places)
        self.servers: Sequence[PooledServer] = [self._made(settings, url, supervision, spent) for url in urls]
        meters.follow(lambda: self._streams, lambda: self._slots.queued, lambda: self._best.server.health.breaker.state)

    def _made(self, settings: LlmSettings, url: str, supervision: Supervision | None, spent: Spent) -> PooledServer:
        name = server_name(url)
        meters = self.meters.of_server(name)
        told = Told(self.meters, meters, spent, self._look_around, self._slots.offer)
        server = PooledServer(settings, url, name, ModelServer(settings, url, supervision or Supervision(), told))
        meters.follow(lambda: server.outstanding_tokens, lambda: server.streams, lambda: server.state)
        return server

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent now: no server can be asked."""
        troubles = [server.trouble for server in self.servers]
        if None in troubles:
            return None
        if len(troubles) == 1:
            return troubles[0]
        said = "; ".join(f"{number}: {trouble}" for number, trouble in enumerate(troubles, start=1))
        return f"none of {len(troubles)} servers can be asked: {said}"

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together that every server holds which may be asked."""
        return min(server.server.context for server in self._askable or self.servers)

    def expect(self) -> Expectation | None:
        """From the answers of the server that would be asked now, else of another; None where there were too few."""
        by_work = sorted(self._askable or self.servers, key=lambda server: server.outstanding_tokens)
        expected = (server.server.expect() for server in by_work)
        return next((known for known in expected if known is not None), None)

    @asynccontextmanager
    async def admitted(self, call: LlmCall, work: Work) -> AsyncIterator[Admitted]:
        """A place for the block, by which the model is asked.

        Args:
            work: about what will be asked.

        Raises:
            LlmUnavailableError: all servers are in trouble, and none is asked.
            LlmOverloadedError, LlmTimeoutError: there was no place.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            with counted(self.meters.count):
                server = await self.place(call, work)
                if server.trouble:  # it may have come while this one was let in
                    self.left(server, work)
                    server = await self.place(call, work)
                admitted = Admitted(self, call, work, server)
                stack.callback(admitted.leave)
            self.meters.queue_seconds.observe(time.monotonic() - began)
            yield admitted

    async def place(self, call: LlmCall, work: Work, without: PooledServer | None = None) -> PooledServer:
        """The server at which ``work`` has a place, as soon as there is one.

        Args:
            without: that it just left, and comes back to only where no other can be asked.

        Raises:
            As ``admitted``.
        """
        if self.trouble:
            raise self._not_asked()

        def take() -> PooledServer | None:
            free = [server for server in self._askable_beside(without) or self._askable if server.has_room]
            chosen = min(free, key=lambda server: server.outstanding_tokens, default=None)
            if chosen:
                chosen.take(work)
            return chosen

        def leave(server: PooledServer) -> None:
            server.leave(work)

        is_ahead = without is not None
        return await self._slots.taken(take, leave, call.priority, call.deadline, is_ahead=is_ahead)

    def left(self, server: PooledServer, work: Work) -> None:
        """Its place is free."""
        server.leave(work)
        self._slots.held(work.age_s)
        self._slots.offer()

    def has_another(self, server: PooledServer) -> bool:
        """Some other server can be asked."""
        return bool(self._askable_beside(server))

    def drained(self, name: str, *, is_drained: bool) -> PooledServer:
        """Give a server nothing new, or something again.

        Raises:
            LlmServerNotFoundError: there is none of that name.
        """
        server = next((server for server in self.servers if server.name == name), None)
        if server is None:
            names = ", ".join(server.name for server in self.servers)
            raise LlmServerNotFoundError(f"no server of this language model is {name!r}; there are {names}")
        if server.is_drained != is_drained:
            _log.warning("the server %s is %s", name, "drained" if is_drained else "asked again")
            server.is_drained = is_drained
            self._look_around()
            self._slots.offer()
        return server

    async def start(self) -> None:
        """Begin to watch the servers; they need not be there yet."""
        for server in self.servers:
            await server.server.start()

    async def close(self) -> None:
        """End the watch and all connections."""
        for server in self.servers:
            await server.server.close()

    def describe(self) -> dict[str, object]:
        """State and what it rests on, for the status page; of several servers what holds for the best of them."""
        return {
            **self._best.server.describe(),
            "state": self._state(),
            "context": self.context,
            "streams": self._streams,
            "queued": self._slots.queued,
            "servers": [server.describe() for server in self.servers],
        }

    def _state(self) -> str:
        states = ["drained" if server.is_drained else server.server.health.state for server in self.servers]
        if "ready" in states or len(states) == 1:
            return "ready" if "ready" in states else states[0]
        return "; ".join(f"{number}: {state}" for number, state in enumerate(states, start=1))

    def _look_around(self) -> None:
        """A server is not to be asked any more: who waits is told if none is left, and else need not wait for it."""
        if self.trouble:
            self._slots.dismiss(self._not_asked)
            return
        for server in self.servers:
            if server.server.trouble:
                server.server.give_up_waiting()

    def _not_asked(self) -> LlmNotAskedError:
        return LlmNotAskedError(f"the language model was not asked: {self.trouble}")

    def _askable_beside(self, server: PooledServer | None) -> list[PooledServer]:
        return [other for other in self._askable if other is not server]

    @property
    def _askable(self) -> list[PooledServer]:
        return [server for server in self.servers if server.trouble is None]

    @property
    def _best(self) -> PooledServer:
        """The first whose breaker is the least open."""
        return min(self.servers, key=lambda server: (server.is_drained, server.server.health.breaker.state))

    @property
    def _streams(self) -> int:
        return sum(server.streams for server in self.servers)

    def _places(self) -> int:
        return sum(server.places for server in self.servers)
