"""ModelServer: one language model's server as the service uses it: a bounded queue, retries, a breaker, measured."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict
from http import HTTPStatus

import aiohttp

from service.budget import Deadline
from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmNotAskedError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.generation.base import Expectation, LlmCall
from service.generation.canary import Canary
from service.generation.chat_body import ChatBodies
from service.generation.chat_client import ChatClient
from service.generation.chat_stream import Piece, pieces
from service.generation.llm_costs import LlmCosts
from service.generation.patience import Patience
from service.generation.retry_budget import RetryBudget
from service.generation.server_health import ServerHealth
from service.generation.slots import Slots
from service.generation.stopwatch import Stopwatch
from service.generation.supervision import Supervision
from service.generation.tokens import Messages, estimated_tokens
from service.llm_settings import LlmSettings
from service.spending import Spent
from service.telemetry.llm import LlmMeters, Outcome

_log = logging.getLogger("quarry.llm")

# Before the second and the third try, on average; each is drawn from nothing to twice of it.
_PAUSES_S = (0.05, 0.15)
# A token of an idle server takes a fraction of this, and a frozen one is to be seen within it.
_CANARY_MS = 5000
# Of what is left until the deadline: an estimate is at hand where the count does not come.
_COUNT_SHARE = 0.25
_LEARN_MS = 2000

# The first row whose type matches counts.
_OUTCOMES: tuple[tuple[type[GenerationError], Outcome], ...] = (
    (LlmNotAskedError, "not_asked"),
    (LlmOverloadedError, "overloaded"),
    (LlmUnavailableError, "unavailable"),
    (LlmTimeoutError, "timeout"),
    (LlmRefusedError, "refused"),
    (GenerationError, "bad_response"),
)


class ModelServer:
    """Everything between a prompt and the pieces of its answer.

    Args:
        supervision: what runs the server, if it is ours.
        spent: told of the tokens of what was asked, as soon as something is written, however it ends.
    """

    def __init__(
        self, settings: LlmSettings, url: str, supervision: Supervision, meters: LlmMeters, spent: Spent
    ) -> None:
        self._settings = settings
        self._spent = spent
        self._meters = meters
        self._bodies = ChatBodies(settings)
        self._client = ChatClient(url, settings.key)
        self._slots = Slots(settings.max_streams, settings.max_queued)
        self._retries = RetryBudget()
        self._costs = LlmCosts()
        wanted = asyncio.Event()
        self._health = ServerHealth(
            supervision, self._costs, wanted.set, on_trouble=lambda: self._slots.dismiss(self._not_asked)
        )
        self._canary = Canary(self._health, wanted, self._sing, self._learn)
        self.context = settings.context
        meters.follow(lambda: self._slots.in_use, lambda: self._slots.queued, lambda: self._health.breaker.state)

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent now."""
        return self._health.trouble

    def expect(self) -> Expectation | None:
        """From the answers of the last time; None where there were too few."""
        return self._costs.recent

    @asynccontextmanager
    async def admitted(self, call: LlmCall) -> AsyncIterator[None]:
        """A slot for the block, in which the other methods may be called.

        Raises:
            LlmUnavailableError: the server is in trouble and is not asked.
            LlmOverloadedError, LlmTimeoutError: there was no slot.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            with self._counted():
                self._refuse_in_trouble()
                await stack.enter_async_context(self._slots.held(call.priority, call.deadline))
                self._refuse_in_trouble()  # it may have come while this one was let in
            self._meters.queue_seconds.observe(time.monotonic() - began)
            yield

    async def stream(
        self,
        messages: Messages,
        max_tokens: int,
        temperature: float | None,
        call: LlmCall,
        is_enough: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[Piece, None]:
        """A chat completion's pieces. Closing the generator ends it at the server too.

        Args:
            is_enough: asked after each piece; what comes after one that is enough is not written any more, and the
                answer is as good as a whole one.

        Raises:
            GenerationError: the server failed, refused or was late; pieces that came before stand.
        """
        body = self._bodies.answer(messages, max_tokens, temperature, call)
        patience, stopwatch, whole, is_blank = Patience(call.deadline), Stopwatch(self._meters), Piece(), True
        written = 0
        try:
            with self._judged(patience):
                opened = self._opened(body, call, patience)
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
            stopwatch.teach(self._costs, sum(len(message["content"]) for message in messages), whole.usage)
            await self._spent(call.caller, _tokens(messages, written, whole.usage))
        if is_blank:  # no fault of the server: it was given too few tokens
            raise LlmBadResponseError(f"the language model wrote nothing within {max_tokens} tokens")

    def _hear(self, piece: Piece, patience: Patience, stopwatch: Stopwatch) -> None:
        if piece.is_sign:
            self._meters.signs.inc()
            patience.heard()
            self._health.heard()
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
        health, expected = self._health, self._costs.expectation
        return {
            "state": health.state,
            "phase": health.supervision.phase,
            "breaker": {"state": health.breaker.state.name.lower(), "cause": health.breaker.cause},
            "context": self.context,
            "streams": self._slots.in_use,
            "queued": self._slots.queued,
            "expected": asdict(expected) if expected else None,
        }

    @asynccontextmanager
    async def _opened(
        self, body: Mapping[str, object], call: LlmCall, patience: Patience
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The reply to a completion, sent again where nothing of it was begun and the budget allows."""
        named = {"X-Request-Id": call.request_id, "traceparent": call.traceparent}
        headers = {name: value for name, value in named.items() if value}
        self._retries.deposit()
        async with AsyncExitStack() as stack:
            for pause_s in (*_PAUSES_S, None):
                try:
                    sent = self._client.streamed(body, headers, patience)
                    response = await stack.enter_async_context(sent)
                    break
                except LlmUnavailableError as error:
                    drawn_s = random.uniform(0.0, 2 * (pause_s or 0.0))  # noqa: S311  to spread load
                    if pause_s is None or not self._may_try_again(error, patience, drawn_s):
                        raise
                self._meters.retries.inc()
                await asyncio.sleep(drawn_s)
            yield response

    def _may_try_again(self, error: LlmUnavailableError, patience: Patience, pause_s: float) -> bool:
        """A 503 or a refused connection, so that the server did no work for it; the pause ends in time."""
        is_refused = isinstance(error.__cause__, aiohttp.ClientConnectorError)
        is_untouched = is_refused or isinstance(error, LlmOverloadedError)
        return is_untouched and patience.left_s() > pause_s and self._retries.withdraw()

    def _refuse_in_trouble(self) -> None:
        if self.trouble:
            raise self._not_asked()

    def _not_asked(self) -> LlmNotAskedError:
        return LlmNotAskedError(f"the language model was not asked: {self.trouble}")

    @contextmanager
    def _judged(self, patience: Patience) -> Iterator[None]:
        """Let the server's health hear how the block ended."""
        with self._counted():
            try:
                yield
            except GenerationError as error:
                self._health.failed(error, patience)
                raise
            except (asyncio.CancelledError, GeneratorExit):
                self._health.left(patience)
                raise
        self._health.answered()
        self._meters.count("ok")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the block if it does not end well."""
        try:
            yield
        except GenerationError as error:
            self._meters.count(next(outcome for type_, outcome in _OUTCOMES if isinstance(error, type_)))
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._meters.count("abandoned")
            raise

    async def _sing(self) -> None:
        """The canary's one token.

        Raises:
            GenerationError: there was none.
        """
        try:
            await self._client.canary(self._bodies.canary(), Deadline.after(_CANARY_MS))
        except GenerationError:
            self._meters.count_canary(answered=False)
            raise
        self._meters.count_canary(answered=True)

    async def _learn(self) -> bool:
        """Take the context from the server, where it says one; False when it could not be reached."""
        try:
            listed = await self._client.models(Deadline.after(_LEARN_MS))
        except GenerationError as error:
            if isinstance(error, LlmConfigurationError) and error.status != HTTPStatus.NOT_FOUND:
                self._health.noted(error)  # a server without a list of models may answer questions nevertheless
            return isinstance(error, LlmBadResponseError)
        self.context = min(
            self._settings.context, _max_model_len(listed, self._settings.model) or self._settings.context
        )
        return True


def _tokens(messages: Messages, written: int, usage: Mapping[str, int]) -> int:
    """What an answer cost: as the server counted, or about as much where it ended before that."""
    if usage:
        return usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return estimated_tokens(messages) + written if written else 0


def _check_end(whole: Piece, *, is_blank: bool) -> None:
    """Raise what is wrong with a stream that came to [DONE].

    Raises:
        LlmBadResponseError: no choice was said to be finished, so that text may be missing; or there is no text.
    """
    if whole.finish is None:
        raise LlmBadResponseError("the language model's stream ended without a finish_reason")
    if is_blank and whole.finish != "length":
        raise LlmBadResponseError("the language model wrote nothing")


def _max_model_len(listed: Mapping[str, object], model: str) -> int | None:
    """What the model's card says."""
    cards = listed.get("data")
    own = (
        [card for card in cards if isinstance(card, dict) and card.get("id") == model]
        if isinstance(cards, list)
        else []
    )
    said = own[0].get("max_model_len") if own else None
    return said if isinstance(said, int) and said > 0 else None
