"""Admitted: one call of a language model that has a place at one of its servers, and may change it once."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmRefusedError,
    LlmTimeoutError,
)
from service.generation.base import LlmCall
from service.generation.chat_body import Chat
from service.generation.chat_stream import Piece
from service.generation.outcomes import counted
from service.generation.pooled_server import PooledServer
from service.generation.tokens import Messages
from service.generation.work import Work
from service.telemetry.llm import LlmMeters

_log = logging.getLogger("quarry.llm")


class Pool(Protocol):
    """The servers, as a call sees them."""

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def meters(self) -> LlmMeters:
        """Of the language model."""

    async def place(self, call: LlmCall, work: Work, without: PooledServer | None = None) -> PooledServer:
        """The server at which the call has a place, as soon as there is one."""

    def left(self, server: PooledServer, work: Work) -> None:
        """Its place is free."""

    def has_another(self, server: PooledServer) -> bool:
        """Some other server can be asked."""


class Admitted:
    """Asks the server where it has a place.

    Args:
        work: what it asks there, known better from time to time.
    """

    def __init__(self, pool: Pool, call: LlmCall, work: Work, server: PooledServer) -> None:
        self._pool = pool
        self._call = call
        self._work = work
        self._server = server
        self._has_place = True
        self._has_moved = False

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._pool.context

    def shrink_context(self, context: int) -> None:
        """The server said that it holds no more tokens than this."""
        self._server.server.shrink_context(context)

    async def count(self, messages: Messages) -> int | None:
        """Tokens of these messages as a prompt, counted by vLLM; None where that cannot be had soon."""
        return await self._server.server.count(messages, self._call.deadline)

    async def stream(self, chat: Chat, is_enough: Callable[[], bool] = lambda: False) -> AsyncGenerator[Piece, None]:
        """A chat completion's pieces. Closing the generator ends it at the server too.

        Where the server fails before it has said anything, the next one is asked, once.

        Args:
            is_enough: asked after each piece; what comes after one that is enough is not written any more, and the
                answer is as good as a whole one.

        Raises:
            GenerationError: the server failed, refused or was late; pieces that came before stand.
        """
        is_blank = True
        with counted(self._pool.meters.count):
            async with aclosing(self._moving(chat, is_enough)) as pieces:
                async for piece in pieces:
                    is_blank = is_blank and not piece.text.strip()
                    yield piece
        self._pool.meters.count("ok")
        if is_blank:  # no fault of the server: it was given too few tokens
            raise LlmBadResponseError(f"the language model wrote nothing within {chat.max_tokens} tokens")

    def leave(self) -> None:
        """Give the place back, if it has one."""
        if self._has_place:
            self._has_place = False
            self._pool.left(self._server, self._work)

    async def _moving(self, chat: Chat, is_enough: Callable[[], bool]) -> AsyncGenerator[Piece, None]:
        is_told = False
        while True:
            self._work.fitted(chat.prompt_tokens, chat.max_tokens)
            stream = self._server.stream(chat, is_enough, is_alone=not self._may_move)
            try:
                async with aclosing(stream) as pieces:
                    async for piece in pieces:
                        if piece.is_sign:
                            is_told = True
                            self._work.heard()
                        yield piece
                return
            except GenerationError as error:
                if is_told or not self._moves_after(error):
                    raise
                await self._move(error)

    @property
    def _may_move(self) -> bool:
        return not self._has_moved and self._pool.has_another(self._server)

    def _moves_after(self, error: GenerationError) -> bool:
        """Not where the request is at fault, nor where a server is late that is well otherwise: that is a busy one."""
        if isinstance(error, LlmRefusedError):
            return self._may_move and isinstance(error, LlmConfigurationError)
        is_busy = isinstance(error, LlmTimeoutError) and self._server.server.trouble is None
        return self._may_move and not is_busy

    async def _move(self, error: GenerationError) -> None:
        """Take a place at another server.

        Raises:
            LlmUnavailableError, LlmTimeoutError: there was none.
        """
        left, self._has_moved = self._server, True
        _log.info("the server %s failed before it said anything, another is asked: %s", left.name, error.outline)
        if isinstance(error, LlmConfigurationError):
            left.server.health.breaker.open(error.outline)
        self._pool.meters.moves.inc()
        self.leave()
        self._server = await self._pool.place(self._call, self._work, without=left)
        self._has_place = True
