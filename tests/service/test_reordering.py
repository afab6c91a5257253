"""Hits are scored as long as there is time, by a clock that forwards move; what is late or fails leaves their order."""

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

import pytest

from reordering_desk import CHEAP, HIT_TOKENS, HITS, PATIENCE_S, PLAN, TOKEN_S, Desk, OpenEngine, hits, run
from service.errors import DeadlineExceededError, OverloadedError, RerankerUnavailableError
from service.reordered import Left, Reordered
from service.scheduling.capacity import CostModel
from service.scheduling.job import Lane


@pytest.fixture(autouse=True)
def fixed_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwards take no real time: what they took must not teach the engine better."""
    monkeypatch.setattr(CostModel, "observe", lambda *_: None)


def order(reordered: Reordered) -> list[int]:
    return [int(hit.chunk.text) for hit in reordered.hits]


def test_with_enough_time_all_are_in_the_order_of_the_model(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        reordered = await desk.asked()
        assert order(reordered) == [9, 8, 7, 6, 5, 3, 2, 1]
        assert (reordered.wanted, reordered.scored, reordered.left, reordered.model) == (8, 8, None, "numbers")
        assert desk.model.read == [f"Title\n{hit.chunk.text}" for hit in HITS]
        assert desk.model.batches == [8]
        assert desk.question.timings.seconds()["rerank"] >= 0
        assert sum(desk.counted(what, left) for what in ("cut", "skipped") for left in ("deadline", "budget")) == 0

    run(open_engine, scenario)


@pytest.mark.parametrize(
    ("budget_ms", "deadline_ms", "kept_s", "scored", "left"),
    [
        (550, 60_000, 0.0, 5, "budget"),
        (250, 60_000, 0.0, 2, "budget"),
        (550, 350, 0.0, 3, "deadline"),
        (None, 750, 0.3, 4, "deadline"),
        (950, 60_000, 9.0, 8, None),
    ],
)
def test_as_many_as_fit_into_what_is_left(
    open_engine: OpenEngine, budget_ms: int | None, deadline_ms: int, kept_s: float, scored: int, left: Left | None
) -> None:
    async def scenario(desk: Desk) -> None:
        reordered = await desk.asked(deadline_ms=deadline_ms, plan=replace(PLAN, rerank_kept_s=kept_s))
        numbers = [int(hit.chunk.text) for hit in HITS]
        assert order(reordered) == sorted(numbers[:scored], reverse=True) + numbers[scored:]
        assert (reordered.scored, reordered.left) == (scored, left)
        assert desk.model.batches == [scored]
        assert left is None or desk.counted("cut", left) == 1

    run(open_engine, scenario, budget_ms)


def test_costs_that_were_mistaken_count_as_higher(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        desk.opened.engine.models["numbers"].capacity.cost.error = 0.5
        assert (await desk.asked()).scored == 8
        assert desk.model.batches == [
            5,
            2,
            1,
        ]  # 860 ms hold five that may take 150 ms, then 360 ms two, then 160 ms one

    run(open_engine, scenario, 860)


def test_a_forward_at_a_time_each_as_large_as_it_may_be(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        assert (await desk.asked()).scored == 5
        assert desk.model.batches == [2, 2, 1]
        assert sum(tokens for _, tokens in desk.spent) == 5 * HIT_TOKENS

    run(open_engine, scenario, 550, tokens=2 * HIT_TOKENS + 5)


def test_a_hit_that_fills_more_than_a_forward_is_scored_alone(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        assert (await desk.asked(HITS[:3])).scored == 3
        assert desk.model.batches == [1, 1, 1]

    run(open_engine, scenario, tokens=HIT_TOKENS - 1)


@pytest.mark.parametrize(("budget_ms", "deadline_ms", "left"), [(50, 60_000, "budget"), (None, 50, "deadline")])
def test_without_room_the_order_stays(
    open_engine: OpenEngine, budget_ms: int | None, deadline_ms: int, left: Left
) -> None:
    async def scenario(desk: Desk) -> None:
        reordered = await desk.asked(deadline_ms=deadline_ms)
        assert (list(reordered.hits), reordered.is_lost, reordered.left) == (HITS, True, left)
        assert (desk.model.batches, desk.spent, desk.counted("skipped", left)) == ([], [], 1)
        assert math.isinf(desk.question.timings.spent["rerank"]) is (left == "budget")
        with pytest.raises(DeadlineExceededError) as failed:
            await desk.asked(deadline_ms=deadline_ms, on_failure="fail")
        assert failed.value.stage == "rerank"
        assert ("budgets.rerank_ms" if left == "budget" else "the deadline of 50 ms") in str(failed.value)

    run(open_engine, scenario, budget_ms)


def test_what_waits_already_takes_of_the_time(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.free = 0
        waiting = asyncio.create_task(desk.opened.engine.run(_work(desk, 3)))
        await asyncio.to_thread(desk.model.entered.wait, PATIENCE_S)
        desk.opened.engine._scheduler.in_flight[0].launched_at = time.monotonic() + 1000  # it has only just begun
        batcher, pairs = desk.reorderer._batcher, desk.model.tokenize("7", ["1"] * 8)
        assert batcher.fitting(pairs, 0.55) == 0
        # Five, and more as it goes on: it waits for nobody.
        assert 5 <= batcher.fitting(pairs, 1000.55 + 3 * HIT_TOKENS * TOKEN_S) < len(pairs)
        assert batcher.expect(HIT_TOKENS) == pytest.approx(1000 + 4 * HIT_TOKENS * TOKEN_S, abs=60)
        desk.model.gate.set()
        await waiting

    run(open_engine, scenario)


def _work(desk: Desk, count: int) -> Any:  # noqa: ANN401
    from service.call import Work  # noqa: PLC0415  only these tests put something in the way

    pairs = desk.model.tokenize("7", ["1"] * count)
    return Work("numbers", Lane.QUERY, count, 0, count * HIT_TOKENS, lambda part: pairs[part])


@pytest.mark.parametrize("landed", [0, 1])
def test_a_forward_that_is_late_is_not_waited_for(open_engine: OpenEngine, landed: int) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.free = landed
        tasks = asyncio.all_tasks()
        reordered = await desk.asked(HITS[:4])
        assert (reordered.scored, reordered.left) == (2 * landed, "late")
        assert order(reordered) == ([5, 1, 2, 8] if landed else [1, 5, 2, 8])
        assert desk.counted("cut" if landed else "skipped", "late") == 1
        desk.model.gate.set()
        await desk.opened.waiting(0)
        assert asyncio.all_tasks() == tasks
        assert len(desk.model.batches) == landed + 1

    run(open_engine, scenario, 2000, tokens=2 * HIT_TOKENS)


def test_who_wants_no_less_is_told_that_it_was_late(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.free = 1
        with pytest.raises(DeadlineExceededError, match=r"budgets\.rerank_ms of 2000 ms passed in stage 'rerank'"):
            await desk.asked(HITS[:4], on_failure="fail")
        assert desk.question.timings.seconds()["rerank"] > 0

    run(open_engine, scenario, 2000, tokens=2 * HIT_TOKENS)


def test_a_forward_that_fails_leaves_the_order(open_engine: OpenEngine, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.failure = RuntimeError("the device burps")
        reordered = await desk.asked()
        assert (list(reordered.hits), reordered.left, desk.counted("skipped", "failed")) == (HITS, "failed", 1)
        with pytest.raises(RerankerUnavailableError, match="the device burps") as failed:
            await desk.asked(on_failure="fail")
        assert failed.value.stage == "rerank"
        desk.model.failure = None
        assert (await desk.asked()).scored == 8

    run(open_engine, scenario)
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["quarry.reordering"]


@pytest.mark.parametrize(("fitting", "scored"), [(2 * HIT_TOKENS, 4), (HIT_TOKENS - 1, 0)])
def test_memory_that_is_short(open_engine: OpenEngine, fitting: int, scored: int) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.fitting = fitting
        assert (await desk.asked(HITS[:4])).scored == scored

    run(open_engine, scenario)


def test_a_full_queue_leaves_the_order(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.free = 0
        first = asyncio.create_task(desk.opened.engine.run(_work(desk, 1)))
        await asyncio.to_thread(desk.model.entered.wait, PATIENCE_S)
        second = asyncio.create_task(desk.opened.engine.run(_work(desk, 1)))
        await desk.opened.waiting(HIT_TOKENS)
        reordered = await desk.asked()
        assert (list(reordered.hits), reordered.left, desk.counted("skipped", "overloaded")) == (HITS, "overloaded", 1)
        with pytest.raises(OverloadedError):
            await desk.asked(on_failure="fail")
        desk.model.gate.set()
        await asyncio.gather(first, second)
        assert desk.opened.queued() == 0

    run(open_engine, scenario, cost=CHEAP, queue=4 * HIT_TOKENS)


def test_who_leaves_takes_along_what_was_not_launched(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        desk.model.free = 0
        busy = asyncio.create_task(desk.opened.engine.run(_work(desk, 1)))
        await asyncio.to_thread(desk.model.entered.wait, PATIENCE_S)
        tasks = asyncio.all_tasks()
        leaving = asyncio.create_task(desk.asked())
        await desk.opened.waiting(8 * HIT_TOKENS)
        assert desk.opened.engine.queued_tokens(Lane.QUERY) == 8 * HIT_TOKENS
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert desk.opened.queued() == 0
        desk.model.gate.set()
        await busy
        assert (desk.model.batches, desk.spent) == ([1], [("somebody", 0), ("", HIT_TOKENS)])
        assert asyncio.all_tasks() <= tasks

    run(open_engine, scenario, cost=CHEAP)


def test_what_was_planned_away_costs_nothing(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        reordered = await desk.asked(plan=PLAN.without_rerank())
        assert (list(reordered.hits), reordered.left, reordered.is_lost) == (HITS, "deadline", True)
        assert (desk.model.read, desk.counted("skipped", "deadline")) == ([], 1)
        assert "rerank" not in desk.question.timings.seconds()
        nothing = await desk.asked([])
        assert (list(nothing.hits), nothing.is_lost, nothing.left) == ([], False, None)
        nothing = await desk.asked([], plan=PLAN.without_rerank())
        assert (nothing.is_lost, nothing.left, desk.model.read) == (False, None, [])

    run(open_engine, scenario)


def test_no_more_than_the_candidates(open_engine: OpenEngine) -> None:
    async def scenario(desk: Desk) -> None:
        many = hits(*range(60))
        reordered = await desk.asked(many)
        assert order(reordered) == [*range(49, -1, -1), *range(50, 60)]
        assert (reordered.wanted, reordered.scored, reordered.left) == (50, 50, None)
        assert desk.spent == [("somebody", 50 * HIT_TOKENS)]

    run(open_engine, scenario)
