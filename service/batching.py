"""EmbeddingBatcher: what is waiting goes into one forward pass, queries ahead of ingest.

There is no timer. An idle device is used at once; while a forward runs, requests gather, and the next batch takes as
many of them as the token budget allows. One thread owns the device; the event loop only packs and hands out.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import numpy as np

from models.base import Embedder, TextKind, TokenIds, Vectors
from service.errors import EmbedderUnavailableError, OverloadedError
from service.telemetry.metrics import Metrics

# Below this many characters a text is tokenized on the event loop: the hop to a thread would cost more.
_INLINE_CHARACTERS = 1024
_TOKENIZER_THREADS = 2
_STOPPING = "the server is stopping"


class Lane(StrEnum):
    """Which queue a request waits in; ``QUERY`` goes first."""

    QUERY = "query"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors with what they cost.

    Attributes:
        vectors: ``(texts, dimension)`` float32.
        tokens: tokens computed, padding not counted.
        queue_s: from the call to the launch of its last batch, tokenizing included.
        forward_s: the forwards that held its texts.
    """

    vectors: Vectors
    tokens: int
    queue_s: float
    forward_s: float


@dataclass(slots=True)
class _Request:
    """All texts of one call; done when the last row is filled in, or one batch of it fails."""

    vectors: Vectors
    done: asyncio.Future[None]
    missing: int
    asked_at: float = field(default_factory=time.perf_counter)
    launched_at: float = 0.0
    forward_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Text:
    request: _Request
    row: int
    ids: TokenIds


def device_thread() -> ThreadPoolExecutor:
    """The thread that owns the device."""
    return ThreadPoolExecutor(1, thread_name_prefix="quarry-device")


class EmbeddingBatcher:
    """Packs texts of concurrent callers into forwards; an async context manager that owns its threads and its task.

    Args:
        embedder: used from the device thread only, its tokenizer from any.
        max_batch_tokens: of one forward, padding counted; one text may exceed it alone.
        max_queued_tokens: beyond it callers get OverloadedError.
        device: the one thread that calls the embedder, from here on owned here; None makes it. An embedder that was
            loaded belongs on the thread that loaded it: OpenMP keeps a pool of workers for each thread that ever called
            it, and with more workers than cores its hand-overs are several times slower.
    """

    def __init__(
        self,
        embedder: Embedder,
        max_batch_tokens: int,
        max_queued_tokens: int,
        metrics: Metrics,
        device: ThreadPoolExecutor | None = None,
    ) -> None:
        self._embedder = embedder
        self._max_batch_tokens = max_batch_tokens
        self._max_queued_tokens = max_queued_tokens
        self._metrics = metrics
        self._lanes: dict[Lane, deque[_Text]] = {lane: deque() for lane in Lane}
        self._queued_tokens = 0
        self._seconds_per_token = 1e-4  # refitted after every forward
        self._work = asyncio.Event()
        self._device = device or device_thread()
        self._tokenizers = ThreadPoolExecutor(_TOKENIZER_THREADS, thread_name_prefix="quarry-tokenizer")

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="embedding-batcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._fail([text for lane in self._lanes.values() for text in lane], EmbedderUnavailableError(_STOPPING))
        self._device.shutdown()
        self._tokenizers.shutdown()

    @property
    def is_running(self) -> bool:
        """The task that forms batches is alive."""
        return not self._task.done()

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait for the device."""
        return self._queued_tokens

    async def embed(self, texts: Sequence[str], kind: TextKind, lane: Lane) -> Embedded:
        """Vectors of ``texts``, all or nothing.

        Cancelling the call drops the texts that have not been launched.

        Raises:
            OverloadedError: the queue has no room for all of them.
            EmbedderUnavailableError: a forward failed, or the server is stopping.
        """
        self._check_running()
        loop = asyncio.get_running_loop()
        request = _Request(
            np.empty((len(texts), self._embedder.info.dimension), np.float32), loop.create_future(), len(texts)
        )
        if not texts:
            return Embedded(request.vectors, 0, 0.0, 0.0)
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            tokenized = self._embedder.tokenize(texts, kind)
        else:
            tokenized = await loop.run_in_executor(self._tokenizers, self._embedder.tokenize, texts, kind)
        tokens = sum(map(len, tokenized))
        self._admit(tokens)
        self._lanes[lane].extend(_Text(request, row, ids) for row, ids in enumerate(tokenized))
        self._work.set()
        await request.done
        return Embedded(request.vectors, tokens, request.launched_at - request.asked_at, request.forward_s)

    def _check_running(self) -> None:
        """Nobody would ever answer a text that came after the end."""
        if not self.is_running:
            raise EmbedderUnavailableError(_STOPPING)

    def _admit(self, tokens: int) -> None:
        self._check_running()
        waiting = self._queued_tokens
        if waiting and waiting + tokens > self._max_queued_tokens:
            raise OverloadedError(
                f"{waiting} tokens wait for the device and {tokens} more were asked for; "
                f"the limit is {self._max_queued_tokens}",
                retry_after_s=max(0.05, waiting * self._seconds_per_token),
            )
        self._queued_tokens += tokens
        self._metrics.queue_tokens.set(self._queued_tokens)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            for lane in Lane:
                batch = self._next_batch(lane)
                if batch:
                    await self._forward(batch, lane)
                    break
            else:
                self._work.clear()

    def _next_batch(self, lane: Lane) -> list[_Text]:
        """Texts from the head of the lane, as many as the budget holds padded to the longest; dead ones dropped."""
        waiting, longest = self._lanes[lane], 0
        batch: list[_Text] = []
        while waiting:
            text = waiting[0]
            longest = max(longest, len(text.ids))
            if batch and longest * (len(batch) + 1) > self._max_batch_tokens:
                break
            waiting.popleft()
            self._queued_tokens -= len(text.ids)
            if not text.request.done.done():
                batch.append(text)
        self._metrics.queue_tokens.set(self._queued_tokens)
        return batch

    async def _forward(self, batch: list[_Text], lane: Lane) -> None:
        start = time.perf_counter()
        ids = [text.ids for text in batch]
        try:
            vectors = await asyncio.get_running_loop().run_in_executor(self._device, self._embedder.embed, ids)
            _deliver(batch, vectors, start, time.perf_counter() - start)
        except asyncio.CancelledError:
            self._fail(batch, EmbedderUnavailableError(_STOPPING))
            raise
        except Exception as error:  # a loop edge: a failed forward fails its callers, never the loop
            self._metrics.batch_failures.inc()
            self._fail(batch, EmbedderUnavailableError(f"the forward failed: {type(error).__name__}: {error}"))
            return
        seconds, tokens = time.perf_counter() - start, max(1, sum(map(len, ids)))
        self._seconds_per_token += 0.1 * (seconds / tokens - self._seconds_per_token)
        self._metrics.batch_tokens.labels(lane).observe(tokens)
        self._metrics.batch_seconds.labels(lane).observe(seconds)

    @staticmethod
    def _fail(batch: Iterable[_Text], error: EmbedderUnavailableError) -> None:
        for text in batch:
            if not text.request.done.done():
                text.request.done.set_exception(error)


def _deliver(batch: list[_Text], vectors: Vectors, launched_at: float, seconds: float) -> None:
    for request in {id(text.request): text.request for text in batch}.values():
        request.launched_at = launched_at
        request.forward_s += seconds
    for text, vector in zip(batch, vectors, strict=True):
        request = text.request
        request.vectors[text.row] = vector
        request.missing -= 1
        if not request.missing and not request.done.done():
            request.done.set_result(None)
