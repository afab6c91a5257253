"""ModelServer: one of a language model's servers: its requests, retried, judged and measured."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus

import aiohttp

from service.budget import Deadline
from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmOverloadedError,
    LlmUnavailableError,
)
from service.generation.base import Expectation, LlmCall
from service.generation.canary import Canary
from service.generation.chat_body import Chat, ChatBodies
from service.generation.chat_client import ChatClient
from service.generation.chat_stream import Piece, pieces
from service.generation.llm_costs import LlmCosts
from service.generation.outcomes import counted
from service.generation.patience import Patience
from service.generation.retry_budget import RetryBudget
from service.generation.served import Served
from service.generation.server_health import ServerHealth
from service.generation.stopwatch import Stopwatch
from service.generation.supervision import Supervision
from service.generation.tokens import Messages
from service.llm_settings import LlmSettings
from service.spending import Spent
from service.telemetry.llm import LlmMeters, ServerMeters

_log = logging.getLogger("quarry.llm")

# Before the second and the third try, on average; each is drawn from nothing to twice of it.
_PAUSES_S = (0.05, 0.15)
# A token of an idle server takes a fraction of this, and a frozen one is to be seen within it.
_CANARY_MS = 5000
# Of what is left until the deadline: an estimate is at hand where the count does not come.
_COUNT_SHARE = 0.25
_LEARN_MS = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears what becomes of a server and its requests.

    Attributes:
        llm: counts for the language model, whichever of its servers it is.
        server: counts for this server.
        spent: told of the tokens of what was asked, as soon as something is written, however it ends.
        on_trouble: the server is not to be asked any more.
        on_recovery: it is again.
    """

    llm: LlmMeters
    server: ServerMeters
    spent: Spent
    on_trouble: Callable[[], None]
    on_recovery: Callable[[], None]


class ModelServer:
    """Everything between a prompt and the pieces of its answer.

    Args:
        supervision: what runs the server, if it is ours.

    Attributes:
        context: tokens of prompt and answer together, as far as is known.
        health: what its answers and failures come to.
    """

    def __init__(self, settings: LlmSettings, url: str, supervision: Supervision, told: Told) -> None:
        self._settings = settings
        self._told = told
        self._bodies = ChatBodies(settings)
        self._client = ChatClient(url, settings.key)
        self._retries = RetryBudget()
        self._costs = LlmCosts()
        self._unheard: set[Patience] = set()
        wanted = asyncio.Event()
        self.health = ServerHealth(supervision, self._costs, wanted.set, told.on_trouble, told.on_recovery)
        self._canary = Canary(self.health, wanted, self._sing, self._learn)
        self.context = settings.context

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent now."""
        return self.health.trouble

    def expect(self) -> Expectation | None:
        """From the answers of the last time; None where there were too few."""
        return self._costs.recent

    async def stream(self, chat: Chat, is_enough: Callable[[], bool], *, is_alone: bool) -> AsyncGenerator[Piece, None]:
        """A chat completion's pieces. Closing the generator ends it at the server too.

        Args:
            is_enough: asked after each piece; what comes after one that is enough is not written any more, and the
                answer is as good as a whole one.
            is_alone: no other server can take the request, so that it is tried here again. Otherwise its silence
                arouses suspicion before its time is up.

        Raises:
            GenerationError: the server failed, refused or was late; pieces that came before stand.
        """
        patience, stopwatch = Patience(chat.call.deadline), Stopwatch(self._told.llm)
        whole, is_blank, written = Piece(), True, 0
        try:
            with self._judged(patience), self._suspected(patience, is_alone=is_alone):
                opened = self._opened(chat, patience, is_alone=is_alone)
                async with opened as response, aclosing(pieces(response, patience)) as coming:
                    async for piece in coming:
                        self._hear(piece, patience, stopwatch)
                        written += piece.is_sign
                        is_blank = is_blank and not piece.text.strip()
                        whole = whole.followed_by(piece)
                        yield piece
                        if is_enough():
                            return
                _check_end(whole, is_blank=is_blank)
        finally:  # of one that was late, too: else a model too slow for every deadline would never be known for it
            stopwatch.teach(self._costs, chat.characters, whole.usage)
            await self._told.spent(chat.call.caller, _tokens(chat, written, whole.usage))

    def give_up_waiting(self) -> None:
        """Let all requests fail as late that nothing was heard for yet."""
        for patience in self._unheard:
            patience.give_up()

    def _hear(self, piece: Piece, patience: Patience, stopwatch: Stopwatch) -> None:
        if piece.is_sign:
            self._told.llm.signs.inc()
            patience.heard()
            self._unheard.discard(patience)
            self.health.heard()
        if piece.text:
            stopwatch.press()

    async def count(self, messages: Messages, deadline: Deadline) -> int | None:
        """Tokens of these messages as a prompt, counted by vLLM; None where that cannot be had soon."""
        soon = deadline.earlier((1 - _COUNT_SHARE) * deadline.remaining())
        try:
            reply = await self._client.tokenize(self._bodies.tokenize(messages), soon)
        except GenerationError as error:
            _log.info("prompts cannot be counted by the language model's server: %s", error.outline)
            return None
        count = reply.get("count")
        return count if isinstance(count, int) else None

    def shrink_context(self, context: int) -> None:
        """The server said that it holds no more tokens than this."""
        self.context = min(self.context, context)

    async def start(self) -> None:
        """Begin to watch the server; it need not be there yet."""
        await self._canary.start()

    async def close(self) -> None:
        """End the watch and all connections."""
        await self._canary.close()
        await self._client.aclose()

    def describe(self) -> dict[str, object]:
        """State and what it rests on, for the status page."""
        health, expected = self.health, self._costs.expectation
        return {
            "state": health.state,
            "phase": health.supervision.phase,
            "breaker": {"state": health.breaker.state.name.lower(), "cause": health.breaker.cause},
            "context": self.context,
            "expected": asdict(expected) if expected else None,
        }

    @asynccontextmanager
    async def _opened(self, chat: Chat, patience: Patience, *, is_alone: bool) -> AsyncIterator[aiohttp.ClientResponse]:
        """The reply to a completion, sent again where nothing of it was begun and the budget allows."""
        body, headers = self._bodies.answer(chat), _headers(chat.call)
        self._retries.deposit()
        async with AsyncExitStack() as stack:
            for pause_s in (*(_PAUSES_S if is_alone else ()), None):
                try:
                    sent = self._client.streamed(body, headers, patience)
                    response = await stack.enter_async_context(sent)
                    break
                except LlmUnavailableError as error:
                    drawn_s = random.uniform(0.0, 2 * (pause_s or 0.0))  # noqa: S311  to spread load
                    if pause_s is None or not self._may_try_again(error, patience, drawn_s):
                        raise
                self._told.llm.retries.inc()
                await asyncio.sleep(drawn_s)
            yield response

    def _may_try_again(self, error: LlmUnavailableError, patience: Patience, pause_s: float) -> bool:
        """A 503 or a refused connection, so that the server did no work for it; the pause ends in time."""
        is_refused = isinstance(error.__cause__, aiohttp.ClientConnectorError)
        is_untouched = is_refused or isinstance(error, LlmOverloadedError)
        return is_untouched and patience.left_s() > pause_s and self._retries.withdraw()

    @contextmanager
    def _judged(self, patience: Patience) -> Iterator[None]:
        """Let the server's health hear how the block ended."""
        with counted(self._told.server.count):
            try:
                yield
            except GenerationError as error:
                self.health.failed(error, patience)
                raise
            except (asyncio.CancelledError, GeneratorExit):
                self.health.left(patience)
                raise
        self.health.answered()
        self._told.server.count("ok")

    @contextmanager
    def _suspected(self, patience: Patience, *, is_alone: bool) -> Iterator[None]:
        """Let the block be given up while nothing was heard, and look after the server when that takes long.

        Where there is no other server, nothing is won by knowing early.
        """
        loop = asyncio.get_running_loop()
        look = None if is_alone else loop.call_later(self.health.late_s, self._look_after, patience)
        self._unheard.add(patience)
        try:
            yield
        finally:
            self._unheard.discard(patience)
            if look:
                look.cancel()

    def _look_after(self, patience: Patience) -> None:
        if patience in self._unheard and not self.health.has_been_heard(patience.waited_s):
            self.health.suspect()

    async def _sing(self) -> None:
        """The canary's one token.

        Raises:
            GenerationError: there was none.
        """
        try:
            await self._client.canary(self._bodies.canary(), Deadline.after(_CANARY_MS))
        except GenerationError:
            self._told.llm.count_canary(answered=False)
            raise
        self._told.llm.count_canary(answered=True)

    async def _learn(self) -> bool:
        """Take the context from the server, where it says one; False when it could not be reached, or is of no use."""
        try:
            listed = await self._client.models(Deadline.after(_LEARN_MS))
        except GenerationError as error:
            if isinstance(error, LlmConfigurationError) and error.status != HTTPStatus.NOT_FOUND:
                self.health.noted(error)  # a server without a list of models may answer questions nevertheless
            return isinstance(error, LlmBadResponseError)
        model, most = self._settings.model, self._settings.context
        said = Served.of(listed)
        self.context = min(most, said.contexts.get(model) or most)
        if self._settings.has_several:  # of a single one, questions show whether it is of use
            self.health.judge_fit(said.misfit(model))
        return self.health.misfit is None


def _headers(call: LlmCall) -> dict[str, str]:
    named = {"X-Request-Id": call.request_id, "traceparent": call.traceparent}
    return {name: value for name, value in named.items() if value}


def _tokens(chat: Chat, written: int, usage: Mapping[str, int]) -> int:
    """What an answer cost: as the server counted, or about as much where it ended before that."""
    if usage:
        return usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return chat.prompt_tokens + written if written else 0


def _check_end(whole: Piece, *, is_blank: bool) -> None:
    """Raise what is wrong with a stream that came to [DONE].

    Raises:
        LlmBadResponseError: no choice was said to be finished, so that text may be missing; or there is no text.
    """
    if whole.finish is None:
        raise LlmBadResponseError("the language model's stream ended without a finish_reason")
    if is_blank and whole.finish != "length":
        raise LlmBadResponseError("the language model wrote nothing")
