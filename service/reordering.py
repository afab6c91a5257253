"""Reorderer: puts the best hits of a search into the order of a cross-encoder, as many as there is time for."""

import asyncio
import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor

from indexes.base import Hit
from indexes.lexical_text import lexical_text
from service.batching import Asker
from service.budget import Deadline
from service.errors import (
    DeadlineExceededError,
    EmbedderUnavailableError,
    OverloadedError,
    QuarryError,
    RerankerUnavailableError,
)
from service.plan import Plan
from service.question import Question
from service.reordered import Left, Reordered
from service.reranking import RerankBatcher
from service.telemetry.metrics import Metrics

_BUDGET = "budgets.rerank_ms"

_log = logging.getLogger("quarry.reordering")


class Reorderer:
    """Scores hits a forward at a time, so that other callers' queries come in between, and what is done stays done.

    Args:
        threads: that make tokens of texts.
        budget_ms: of the scoring of one question's hits; None is no budget.
    """

    def __init__(self, batcher: RerankBatcher, threads: Executor, budget_ms: int | None, metrics: Metrics) -> None:
        self._batcher = batcher
        self._threads = threads
        self._budget_ms = budget_ms
        self._skipped = metrics.reranks_skipped
        self._cut = metrics.reranks_cut

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._batcher.info.fingerprint

    def least_s(self, tokens: int) -> float:
        """Seconds that a hit of so many tokens, those of the query counted, would take now, waiting included."""
        return self._batcher.expect(tokens)

    async def reordered(self, question: Question, text: str, hits: Sequence[Hit], plan: Plan) -> Reordered:
        """The hits, best first by how well they answer ``text``; those that there was no time for are behind.

        Args:
            hits: of a search, best first.

        Raises:
            DeadlineExceededError, OverloadedError, RerankerUnavailableError: with ``on_failure="fail"``, where more
                than the time that is foreseen keeps hits from being scored, or where it lets none be.
        """
        wanted, scores = min(question.candidates, len(hits)), list[float]()
        if not plan.candidates:
            left: Left | None = "deadline" if wanted else None
        else:
            with question.timings.stage("rerank"):
                left = await self._scored(question, text, hits[:wanted], plan, scores)
        if left is not None:
            (self._cut if scores else self._skipped).labels(left).inc()
        return Reordered.of(self._batcher.info.name, hits, scores, wanted, left)

    async def _scored(
        self, question: Question, text: str, candidates: Sequence[Hit], plan: Plan, scores: list[float]
    ) -> Left | None:
        """Add to ``scores`` those of the first candidates; why they are not all of them."""
        limit = question.deadline.earlier(plan.rerank_kept_s).within(self._budget_ms, _BUDGET)
        no_room: Left = "budget" if limit.limit == _BUDGET else "deadline"
        try:
            with question.timings.budgeted("rerank", limit):
                async with limit.enforced("rerank"):
                    await self._score(question, text, candidates, limit, scores)
        except (DeadlineExceededError, OverloadedError, EmbedderUnavailableError) as error:
            if question.on_failure == "fail":
                raise _as_error(error, limit) from error
            return _as_reason(error)
        if len(scores) == len(candidates):
            return None
        if not scores:
            if limit.is_budget:
                question.timings.spend("rerank", math.inf)  # not even one was in time
            if question.on_failure == "fail":
                raise limit.exceeded("rerank")
        return no_room

    async def _score(
        self, question: Question, text: str, candidates: Sequence[Hit], limit: Deadline, scores: list[float]
    ) -> None:
        """As many as are foreseen to be in time, a forward at a time; a late one adds nothing."""
        if not candidates or not limit.remaining():
            return
        texts = [lexical_text(hit.title, hit.chunk.heading_path, hit.chunk.text) for hit in candidates]
        loop, asker = asyncio.get_running_loop(), Asker(question.caller, limit, question.realm)
        pairs = await loop.run_in_executor(self._threads, self._batcher.pairs, text, texts)
        while waiting := pairs[len(scores) :]:
            fitting = self._batcher.fitting(waiting, limit.remaining())
            if not fitting:
                return
            scores += (await self._batcher.score_pairs(waiting[:fitting], asker)).scores.tolist()


def _as_error(error: QuarryError, limit: Deadline) -> QuarryError:
    """Of the stage, whichever of its steps it was."""
    match error:
        case DeadlineExceededError():
            return limit.exceeded("rerank")
        case EmbedderUnavailableError():
            return RerankerUnavailableError(str(error))
    return error


def _as_reason(error: QuarryError) -> Left:
    match error:
        case DeadlineExceededError():
            return "late"
        case OverloadedError():
            return "overloaded"
    _log.warning("hits are not reranked: %s", error)
    return "failed"
