"""RerankBatcher: pairs of a query and a document, scored together with those of other callers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Reranker, RerankerInfo
from service.batching import NOBODY, Asker
from service.call import Work, estimated_tokens
from service.engine import Engine
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
        computed = await self._engine.run(work)
        return Scored(computed.rows[:, 0], computed.tokens)
