"""RerankBatcher: pairs of a query and a document, scored together with those of other callers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Reranker, RerankerInfo, TokenPair
from service.batching import NOBODY, Asker
from service.call import Work, estimated_tokens
from service.engine import Engine
from service.scheduling.capacity import Capacity
from service.scheduling.job import Lane


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores with what they cost.

    Attributes:
        scores: ``(documents,)`` float32; higher is better.
        tokens: of all pairs, padding not counted.
    """

    scores: NDArray[np.float32]
    tokens: int


class RerankBatcher:
    """One reranker on the engine, which serves it under the name ``reranker.info.name``."""

    def __init__(self, reranker: Reranker, engine: Engine) -> None:
        self._reranker = reranker
        self._engine = engine

    @property
    def info(self) -> RerankerInfo:
        """The reranker's name, limits and precision."""
        return self._reranker.info

    async def score(self, query: str, documents: Sequence[str], lane: Lane, asker: Asker = NOBODY) -> Scored:
        """How well each document answers the query, all or nothing.

        Raises:
            OverloadedError, DeadlineExceededError, EmbedderUnavailableError: as ``EmbeddingBatcher.embed``.
        """
        if not documents:
            return Scored(np.empty(0, np.float32), 0)
        longest = self.info.max_tokens
        work = Work(
            model=self.info.name,
            lane=lane,
            count=len(documents),
            characters=len(query) * len(documents) + sum(map(len, documents)),
            tokens=sum(estimated_tokens(len(query) + len(document), longest) for document in documents),
            tokenize=lambda part: self._reranker.tokenize(query, documents[part]),
            caller=asker.key,
            deadline=asker.deadline,
        )
        return await self._scored(work)

    def pairs(self, query: str, documents: Sequence[str]) -> Sequence[TokenPair]:
        """What the model reads of the query with each document. Thread-safe."""
        return self._reranker.tokenize(query, documents)

    def expect(self, tokens: int) -> float:
        """Seconds until ``tokens`` tokens that come to the query lane now would be computed, by the fitted costs."""
        return self._wait_s() + self._capacity.seconds(tokens)

    def fitting(self, pairs: Sequence[TokenPair], seconds: float) -> int:
        """How many of the first ``pairs`` one forward can hold that is expected to be over in ``seconds``.

        Costs count as higher by as much as they were mistaken of late.
        """
        capacity = self._capacity
        within = capacity.cost.tokens_within((seconds - self._wait_s()) / (1 + capacity.cost.error))
        tokens = 0
        for count, pair in enumerate(pairs):
            tokens += len(pair)
            if tokens > within or (count and tokens > capacity.tokens):
                return count
        return len(pairs)

    async def score_pairs(self, pairs: Sequence[TokenPair], asker: Asker) -> Scored:
        """Scores of what ``pairs`` made, in the query lane, all or nothing.

        Raises:
            OverloadedError, DeadlineExceededError, EmbedderUnavailableError: as ``EmbeddingBatcher.embed``.
        """
        work = Work(
            model=self.info.name,
            lane=Lane.QUERY,
            count=len(pairs),
            characters=0,  # to be tokenized
            tokens=sum(map(len, pairs)),
            tokenize=lambda part: pairs[part],
            caller=asker.key,
            deadline=asker.deadline,
        )
        return await self._scored(work)

    async def _scored(self, work: Work) -> Scored:
        computed = await self._engine.run(work)
        return Scored(computed.rows[:, 0], computed.tokens)

    @property
    def _capacity(self) -> Capacity:
        return self._engine.models[self.info.name].capacity

    def _wait_s(self) -> float:
        return self._engine.expected_wait_s(self.info.name, Lane.QUERY)
