"""PooledServer: one of a language model's servers, with what it works on for us and whether it is given more."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from yarl import URL

from service.generation.chat_body import Chat
from service.generation.chat_stream import Piece
from service.generation.model_server import ModelServer
from service.generation.work import Work
from service.llm_settings import LlmSettings
from service.telemetry.traces import Served, traced_chat


class PooledServer:
    """One server, its places and its outstanding tokens.

    Args:
        url: where it listens.
        server: the way to it.

    Attributes:
        name: its URL, without a user and a password.
        is_drained: it is given nothing new.
    """

    def __init__(self, settings: LlmSettings, url: str, name: str, server: ModelServer) -> None:
        self.name = name
        self.server = server
        self.is_drained = False
        self._most = settings.max_streams
        self._work: set[Work] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._served = _served(settings, url)

    @property
    def trouble(self) -> str | None:
        """Why it is given nothing; None where it is, as soon as it has a place."""
        return "it is drained" if self.is_drained else self.server.trouble

    @property
    def state(self) -> int:
        """As the metric shows it: 0 is asked, 1 drained, 2 in trouble."""
        if self.is_drained:
            return 1
        return 2 if self.server.trouble else 0

    @property
    def streams(self) -> int:
        """Answers that have a place at it."""
        return len(self._work)

    @property
    def places(self) -> int:
        """Answers that it may write at once, as it is now."""
        return 0 if self.trouble else self._most

    @property
    def has_room(self) -> bool:
        """One more answer may have a place."""
        return len(self._work) < self.places

    @property
    def outstanding_tokens(self) -> int:
        """Of all answers that have a place: their prompts until they are read, and what may still be written."""
        return sum(work.tokens for work in self._work)

    def take(self, work: Work) -> None:
        """Give it a place."""
        self._work.add(work)
        self._is_idle.clear()

    def leave(self, work: Work) -> None:
        """It has none any more."""
        self._work.discard(work)
        if not self._work:
            self._is_idle.set()

    async def is_idle_within(self, seconds: float) -> bool:
        """Whether it has nothing to do any more, now or at some moment of that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def stream(self, chat: Chat, is_enough: Callable[[], bool], *, is_alone: bool) -> AsyncGenerator[Piece, None]:
        """As ``ModelServer.stream``, traced."""
        with traced_chat(chat.call.trace, self._served) as span:
            whole, call = Piece(), replace(chat.call, traceparent=span.traceparent)
            stream = self.server.stream(replace(chat, call=call), is_enough, is_alone=is_alone)
            try:
                async with aclosing(stream) as pieces:
                    async for piece in pieces:
                        whole = whole.followed_by(piece)
                        yield piece
            finally:
                span.answered(whole.model, whole.finish, whole.usage)

    def describe(self) -> dict[str, object]:
        """For the status page."""
        return {
            "url": self.name,
            **self.server.describe(),
            "drained": self.is_drained,
            "streams": self.streams,
            "outstanding_tokens": self.outstanding_tokens,
        }


def _served(settings: LlmSettings, url: str) -> Served:
    """As spans name it: of the URL no key and no path but a socket's."""
    address = URL(url)
    provider = "vllm" if settings.is_vllm else "openai"
    is_socket = address.scheme == "unix"
    return Served(settings.model, provider, address.path if is_socket else address.host or "", address.explicit_port)
