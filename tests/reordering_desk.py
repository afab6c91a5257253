"""A reorderer on an engine whose forwards move the clock that deadlines go by."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

import numpy as np

from indexes.base import Chunk, Hit, SearchParams
from models.base import DeviceMemoryError, EmbedderInfo, Finished, Reranker, TokenPair, Vectors
from models.hashing import HashingEmbedder
from service.budget import Deadline
from service.plan import Plan
from service.question import Question
from service.reordered import Left, Reordered
from service.reordering import Reorderer
from service.reranking import RerankBatcher

PATIENCE_S = 200.0
TOKEN_S = 0.01
HIT_TOKENS = 10
# What hits cost is 100 ms each; all that is not a whole number of them keeps roundings out.
COST = ((1, TOKEN_S), (1000, 1000 * TOKEN_S))
CHEAP = ((1, 1e-6), (1000, 1e-3))
PLAN = Plan(rewriter=None, generator=None, passages=8, max_tokens=9, candidates=50)
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


class Clocked(Deadline):
    """A deadline by a clock that stands still unless a forward moves it."""

    now: ClassVar[float] = 0.0

    @classmethod
    def after(cls, milliseconds: int) -> "Clocked":
        return cls(cls.now + milliseconds / 1000, milliseconds / 1000)

    def remaining(self) -> float:
        return max(0.0, self.at - Clocked.now)


class Numbers:
    """Scores a document by the number that is its last word; the others are tokens too.

    Attributes:
        batches: pairs of each forward.
        free: forwards that do not wait for the gate.
        failure: what every forward raises.
        fitting: most tokens that fit into memory.
    """

    def __init__(self) -> None:
        self.info: EmbedderInfo = replace(HashingEmbedder(dimension=1).info, name="numbers")
        self.batches: list[int] = []
        self.read: list[str] = []
        self.free = 10**6
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None
        self.fitting = 10**6

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        self.read += documents
        words = [[query, *text.split()] for text in documents]
        ids = [[int(word) if word.isdigit() else 0 for word in said] for said in words]
        return [TokenPair([*row[:-1], *[0] * (HIT_TOKENS - len(row)), row[-1]], []) for row in ids]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        self.batches.append(len(batch))
        if len(self.batches) > self.free:
            self.entered.set()
            assert self.gate.wait(PATIENCE_S)
        if self.failure:
            raise self.failure
        tokens = sum(map(len, batch))
        if tokens > self.fitting:
            raise DeviceMemoryError(f"{tokens} tokens did not fit")
        Clocked.now += TOKEN_S * tokens
        return Finished(tokens, self.score(batch))

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        return np.array([[pair.ids[-1]] for pair in batch], np.float32)

    def warm_up(self, tokens: int) -> int:
        return 0 * tokens


def hits(*numbers: int) -> list[Hit]:
    return [
        Hit(Chunk(f"{place}", 0, str(number), 0, 1), "Title", None, 1 - place / 100, {"vector": 0.5})
        for place, number in enumerate(numbers)
    ]


HITS = hits(1, 5, 2, 8, 3, 9, 7, 6)


@dataclass
class Desk:
    """A reorderer on an engine that runs."""

    opened: Any
    model: Numbers
    reorderer: Reorderer
    spent: list[tuple[str, int]] = field(default_factory=list)

    async def asked(
        self,
        found: Sequence[Hit] = HITS,
        deadline_ms: int = 60_000,
        plan: Plan = PLAN,
        **fields: Any,  # noqa: ANN401
    ) -> Reordered:
        self.question = Question(
            "q", "docs", SearchParams(), Clocked.after(deadline_ms), candidates=50, caller="somebody", **fields
        )
        return await asyncio.wait_for(self.reorderer.reordered(self.question, "7", found, plan), PATIENCE_S)

    def counted(self, what: str, left: Left) -> float:
        return float(self.opened.value(f"quarry_reranks_{what}_total", reason=left))


def run(
    open_engine: OpenEngine,
    scenario: Callable[[Desk], Any],
    budget_ms: int | None = None,
    tokens: int = 10**6,
    **engine: Any,  # noqa: ANN401
) -> None:
    """``scenario(desk)`` on a loop of its own."""
    Clocked.now = time.monotonic()  # the engine has a clock of its own, which this one is never behind
    model, spent = Numbers(), list[tuple[str, int]]()

    async def counting(caller: str, tokens: int) -> None:
        spent.append((caller, tokens))

    async def told() -> None:
        asked = {"cost": COST, "spent": counting} | engine
        with ThreadPoolExecutor(1) as threads:
            async with open_engine(model, budget=tokens, **asked) as opened:
                batcher = RerankBatcher(cast("Reranker", model), opened.engine)
                desk = Desk(opened, model, Reorderer(batcher, threads, budget_ms, opened.metrics), spent)
                try:
                    await scenario(desk)
                finally:
                    model.gate.set()

    asyncio.run(told())
