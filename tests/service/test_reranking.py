"""Pairs of a query and a document on the engine."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from models.base import EmbedderInfo, Finished, RerankerInfo, TextKind, TokenPair, Vectors
from models.hashing import HashingEmbedder
from service.reranking import RerankBatcher, Scored
from service.scheduling.job import Lane

PATIENCE_S = 200.0
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


class Lengths:
    """Scores a document by its number of words; ``info`` satisfies the engine's fixture too."""

    def __init__(self) -> None:
        self.info: EmbedderInfo = replace(HashingEmbedder(dimension=1).info, name="lengths")
        self.batches: list[int] = []

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        (asked,) = HashingEmbedder().tokenize([query], TextKind.QUERY)
        answers = HashingEmbedder().tokenize(documents, TextKind.DOCUMENT)
        return [TokenPair(asked + ids, [0] * len(asked) + [1] * len(ids)) for ids in answers]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        self.batches.append(len(batch))
        return Finished(sum(map(len, batch)), self.score(batch))

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        return np.array([[sum(pair.type_ids)] for pair in batch], np.float32)

    def warm_up(self, tokens: int) -> int:
        return 0 * tokens


def scored(open_engine: OpenEngine, *calls: tuple[str, list[str]], budget: int) -> tuple[list[Scored], list[int]]:
    reranker = Lengths()

    async def scenario() -> list[Scored]:
        async with open_engine(reranker, budget=budget) as opened:
            batcher = RerankBatcher(_Reranker(reranker), opened.engine)
            asked = (batcher.score(query, documents, Lane.QUERY) for query, documents in calls)
            return await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S)

    return asyncio.run(scenario()), reranker.batches


class _Reranker(Lengths):
    def __init__(self, inner: Lengths) -> None:
        super().__init__()
        self.info: Any = RerankerInfo(inner.info.name, "f", 256, "cpu", "float32", "the only one")


def test_scores_in_the_order_of_the_documents(open_engine: OpenEngine) -> None:
    documents = ["one", "one two three", "", "one two"]
    (result,), _ = scored(open_engine, ("a query", documents), budget=1000)
    assert result.scores.tolist() == [1, 3, 0, 2]
    assert result.scores.shape == (4,)
    assert result.tokens == 2 * 4 + 6


def test_pairs_of_several_callers_share_batches_within_the_budget(open_engine: OpenEngine) -> None:
    calls = [(f"query{n}", [f"word{n} " * i for i in range(5)]) for n in range(20)]
    results, batches = scored(open_engine, *calls, budget=10)
    assert all(result.scores.tolist() == [0, 1, 2, 3, 4] for result in results)
    assert sum(batches) == 100


def test_no_documents_no_forward(open_engine: OpenEngine) -> None:
    (result,), batches = scored(open_engine, ("a query", []), budget=10)
    assert (result.scores.shape, result.tokens, batches) == ((0,), 0, [])


def test_a_long_query_is_tokenized_in_slices_too(open_engine: OpenEngine) -> None:
    (result,), _ = scored(open_engine, ("word " * 2000, ["one", "two words"]), budget=10)
    assert result.scores.tolist() == [1, 2]
