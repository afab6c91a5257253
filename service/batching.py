"""EmbeddingBatcher: texts of concurrent callers become vectors of one embedder."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from models.base import Embedder, EmbedderInfo, TextKind, Vectors
from service.budget import Deadline
from service.bulk_hold import BulkHold
from service.call import Work, estimated_tokens
from service.engine import Engine
from service.query_cache import QueryCache, QueryKey
from service.scheduling.job import Lane


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors with what they cost.

    Attributes:
        vectors: ``(texts, dimension)`` float32.
        tokens: of the texts, padding not counted.
        queue_s: from the call to the launch of its last batch, tokenizing included.
        tokenize_s: of that, for its texts to become tokens.
        forward_s: the forwards that held its texts.
    """

    vectors: Vectors
    tokens: int
    queue_s: float = 0.0
    forward_s: float = 0.0
    tokenize_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a call is made, and until when.

    Attributes:
        key: whose share of the device it counts against.
        deadline: None waits as long as it takes.
        realm: whose queries are remembered for whom.
    """

    key: str = ""
    deadline: Deadline | None = None
    realm: str = ""

    def enforced(self, stage: str) -> AbstractAsyncContextManager[None]:
        """As ``Deadline.enforced``; without a deadline nothing is."""
        return self.deadline.enforced(stage) if self.deadline else nullcontext()


NOBODY = Asker()


class EmbeddingBatcher:
    """One embedder on the engine, with a cache of query embeddings before it.

    Args:
        engine: serves the embedder under the name ``embedder.info.name``.
        cache: of vectors of queries; shared by all embedders.
        hold: what the bulk lane passes before each call.
    """

    def __init__(self, embedder: Embedder, engine: Engine, cache: QueryCache, hold: BulkHold) -> None:
        self._embedder = embedder
        self._engine = engine
        self._cache = cache
        self._hold = hold

    @property
    def info(self) -> EmbedderInfo:
        """The embedder's name, dimension, limits and precision."""
        return self._embedder.info

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` without special tokens, prompt or truncation. Thread-safe."""
        return self._embedder.count_tokens(text)

    def expect_query(self, text: str, realm: str = "") -> tuple[float, float]:
        """Seconds that the vector of a query would wait now and compute, by the fitted costs; 0 where it is known."""
        if self._key(text, realm) in self._cache:
            return 0.0, 0.0
        capacity = self._engine.models[self.info.name].capacity
        tokens = estimated_tokens(len(text), self.info.max_tokens)
        return capacity.seconds(self._engine.queued_tokens(Lane.QUERY)), capacity.cost.seconds(tokens)

    def query_tokens(self, text: str) -> int:
        """Tokens of a query with its prompt and special tokens, those that are not read counted. Thread-safe."""
        prompt = self.info.prompts[TextKind.QUERY]
        (empty,) = self._embedder.tokenize([""], TextKind.QUERY)
        return len(empty) - self._embedder.count_tokens(prompt) + self._embedder.count_tokens(prompt + text)

    async def embed(self, texts: Sequence[str], kind: TextKind, lane: Lane, asker: Asker = NOBODY) -> Embedded:
        """Vectors of ``texts``, all or nothing.

        Cancelling the call drops the texts that have not been launched.

        Raises:
            OverloadedError: the queue has no room for all of them, or no time before the deadline; or the bulk lane
                is held for too long.
            DeadlineExceededError: naming the stage.
            EmbedderUnavailableError: a forward failed, or none can be expected to end well.
        """
        if not texts:
            return Embedded(np.empty((0, self.info.dimension), np.float32), 0)
        work = Work(
            model=self.info.name,
            lane=lane,
            count=len(texts),
            characters=sum(map(len, texts)),
            tokens=sum(estimated_tokens(len(text), self.info.max_tokens) for text in texts),
            tokenize=lambda part: self._embedder.tokenize(texts[part], kind),
            caller=asker.key,
            deadline=asker.deadline,
        )
        async with self._passed(lane, asker):
            computed = await self._engine.run(work)
        return Embedded(computed.rows, computed.tokens, computed.queue_s, computed.forward_s, computed.tokenize_s)

    def _passed(self, lane: Lane, asker: Asker) -> AbstractAsyncContextManager[None]:
        """The gate of bulk work, whose wait is part of the asker's time."""
        if lane is Lane.QUERY:
            return nullcontext()
        return self._hold.step(asker.deadline.remaining() if asker.deadline else None)

    async def embed_query(self, text: str, asker: Asker = NOBODY) -> Embedded:
        """The ``(1, dimension)`` vector of a query, from the cache where it is known.

        Raises:
            OverloadedError, DeadlineExceededError, EmbedderUnavailableError: as ``embed``.
        """
        key = self._key(text, asker.realm)
        known = self._cache.get(key)
        if known:
            return Embedded(known.vector[np.newaxis], known.tokens)
        embedded = await self.embed([text], TextKind.QUERY, Lane.QUERY, asker)
        self._cache.put(key, embedded.vectors[0], embedded.tokens)
        return embedded

    def _key(self, text: str, realm: str) -> QueryKey:
        return realm, self.info.fingerprint, self.info.dtype, self.info.prompts[TextKind.QUERY], text
