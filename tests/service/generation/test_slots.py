"""The queue in front of model servers: order, bounds, and no place ever lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted_llm import eventually
from service.budget import Deadline
from service.errors import LlmNotAskedError, LlmOverloadedError, LlmTimeoutError
from service.generation.slots import Slots as Queue

LONG_MS = 60_000


class Slots:
    """A queue, and the places of one server."""

    def __init__(self, most: int, max_queued: int) -> None:
        self.most = most
        self.in_use = 0
        self.queue: Queue[int] = Queue(max_queued, lambda: self.most)

    @property
    def queued(self) -> int:
        return self.queue.queued

    @asynccontextmanager
    async def held(self, priority: int, deadline: Deadline, *, is_ahead: bool = False) -> AsyncIterator[None]:
        await self.queue.taken(self._take, self._leave, priority, deadline, is_ahead=is_ahead)
        try:
            yield
        finally:
            self.queue.held(0.1)
            self._leave(1)
            self.queue.offer()

    def _take(self) -> int | None:
        if self.in_use >= self.most:
            return None
        self.in_use += 1
        return 1

    def _leave(self, places: int) -> None:
        self.in_use -= places


class Caller:
    """A task that asks for a slot and holds it until it is told to let go."""

    def __init__(self, slots: Slots, priority: int = 0, milliseconds: int = LONG_MS, *, is_ahead: bool = False) -> None:
        self._slots = slots
        self._priority = priority
        self._is_ahead = is_ahead
        self._deadline = Deadline.after(milliseconds)
        self.has_slot = False
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._slots.held(self._priority, self._deadline, is_ahead=self._is_ahead):
            self.has_slot = True
            try:
                await self.let_go.wait()
            finally:
                self.has_slot = False


async def settled() -> None:
    """Let every task run that can."""
    for _ in range(8):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 300))  # type: ignore[arg-type]


def test_priority_then_arrival() -> None:
    async def scenario() -> None:
        slots = Slots(1, 10)
        holder = Caller(slots)
        await settled()
        callers = []
        for priority in (1, 0, -1, 0, 1):
            callers.append(Caller(slots, priority))
            await settled()
        assert (slots.in_use, slots.queued) == (1, 5)
        order = []
        for caller in (holder, callers[2], callers[1], callers[3], callers[0], callers[4]):
            assert [each for each in (holder, *callers) if each.has_slot] == [caller]
            order.append(caller)
            caller.let_go.set()
            await settled()
        assert (slots.in_use, slots.queued) == (0, 0)

    run(scenario)


def test_who_has_waited_before_goes_before_its_equals_and_after_the_more_urgent() -> None:
    async def scenario() -> None:
        slots = Slots(1, 10)
        holder = Caller(slots)
        await settled()
        callers = []
        for priority, is_ahead in ((0, False), (0, True), (0, True), (-1, False), (1, True)):
            callers.append(Caller(slots, priority, is_ahead=is_ahead))
            await settled()
        for caller in (holder, callers[3], callers[1], callers[2], callers[0], callers[4]):
            assert [each for each in (holder, *callers) if each.has_slot] == [caller]
            caller.let_go.set()
            await settled()

    run(scenario)


def test_places_that_are_new_go_to_who_waits() -> None:
    async def scenario() -> None:
        slots = Slots(1, 10)
        callers = [Caller(slots) for _ in range(4)]
        await settled()
        assert [caller.has_slot for caller in callers] == [True, False, False, False]
        slots.most = 3
        slots.queue.offer()
        await settled()
        assert [caller.has_slot for caller in callers] == [True, True, True, False]
        for caller in callers:
            caller.let_go.set()
        await asyncio.gather(*(caller.task for caller in callers))
        assert slots.in_use == 0

    run(scenario)


def test_a_full_queue_refuses() -> None:
    async def scenario() -> None:
        slots = Slots(1, 1)
        holder, waiter = Caller(slots), Caller(slots)
        await settled()
        with pytest.raises(LlmOverloadedError, match="1 wait, the limit is 1") as raised:
            await Caller(slots).task
        assert raised.value.retry_after_s > 0
        assert (slots.in_use, slots.queued) == (1, 1)
        holder.let_go.set()
        waiter.let_go.set()
        await asyncio.gather(holder.task, waiter.task)

    run(scenario)


def test_the_urgent_take_the_place_of_who_can_wait() -> None:
    async def scenario() -> None:
        slots = Slots(1, 1)
        holder = Caller(slots)
        await settled()
        bulk = Caller(slots, priority=1)
        await settled()
        urgent = Caller(slots, priority=-1)
        with pytest.raises(LlmOverloadedError):
            await bulk.task
        holder.let_go.set()
        urgent.let_go.set()
        await asyncio.gather(holder.task, urgent.task)
        assert slots.in_use == 0

    run(scenario)


def test_without_a_queue_nobody_waits() -> None:
    async def scenario() -> None:
        slots = Slots(1, 0)
        holder = Caller(slots)
        await settled()
        with pytest.raises(LlmOverloadedError):
            await Caller(slots).task
        holder.let_go.set()
        await holder.task
        await slots.held(0, Deadline.after(LONG_MS)).__aenter__()

    run(scenario)


def test_a_deadline_passes_in_the_queue() -> None:
    async def scenario() -> None:
        slots = Slots(1, 5)
        holder = Caller(slots)
        await settled()
        with pytest.raises(LlmTimeoutError, match=r"the deadline of 0\.0 s passed before one of 1 answers"):
            await Caller(slots, milliseconds=20).task
        assert (slots.in_use, slots.queued) == (1, 0)
        holder.let_go.set()
        await holder.task
        assert slots.in_use == 0

    run(scenario)


def test_a_slot_given_to_who_is_cancelled_in_the_same_moment_goes_on() -> None:
    async def scenario() -> None:
        slots = Slots(1, 5)
        holder, doomed, next_ = Caller(slots), Caller(slots), Caller(slots)
        await settled()
        holder.let_go.set()
        await asyncio.sleep(0)  # the holder wakes and hands its slot on; who gets it did not run yet
        doomed.task.cancel()
        await settled()
        assert doomed.task.cancelled()
        assert next_.has_slot
        next_.let_go.set()
        await next_.task
        assert slots.in_use == 0

    run(scenario)


def test_who_was_cancelled_before_the_slot_came_is_passed_over() -> None:
    async def scenario() -> None:
        slots = Slots(1, 5)
        holder, doomed, next_ = Caller(slots), Caller(slots), Caller(slots)
        await settled()
        holder.let_go.set()
        doomed.task.cancel()  # both run in the next turn of the loop, the holder first
        await settled()
        assert doomed.task.cancelled()
        assert next_.has_slot
        next_.let_go.set()
        await asyncio.gather(holder.task, next_.task)
        assert slots.in_use == 0

    run(scenario)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(-1, 1)),
        st.tuples(st.just("arrive late"), st.integers(-1, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("let go"), st.integers(0, 30)),
        st.tuples(st.just("run"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(most=st.integers(1, 3), max_queued=st.integers(0, 4), steps=STEPS)
def test_no_slot_is_lost(most: int, max_queued: int, steps: list[tuple[str, int]]) -> None:
    """Arrivals, cancellations, deadlines and ends in any order, also several between two turns of the loop."""

    async def scenario() -> None:
        slots, callers = Slots(most, max_queued), list[Caller]()
        for step, number in steps:
            match step:
                case "arrive":
                    callers.append(Caller(slots, number))
                case "arrive late":
                    callers.append(Caller(slots, number, milliseconds=0))
                case "cancel" if callers:
                    callers[number % len(callers)].task.cancel()
                case "let go" if callers:
                    callers[number % len(callers)].let_go.set()
                case "run":
                    for _ in range(number):
                        await asyncio.sleep(0)
            holders = sum(caller.has_slot for caller in callers)
            assert holders <= slots.in_use <= most
            assert slots.queued <= max_queued
        await settled()
        # Nobody waits while a slot is free.
        assert slots.in_use == most or not slots.queued
        for caller in callers:
            caller.let_go.set()
        ends = await asyncio.gather(*(caller.task for caller in callers), return_exceptions=True)
        allowed = (LlmOverloadedError, LlmTimeoutError, asyncio.CancelledError)
        assert all(end is None or isinstance(end, allowed) for end in ends), ends
        await eventually(lambda: slots.in_use == 0 and slots.queued == 0)

    asyncio.run(scenario())


def test_who_waits_can_be_dismissed() -> None:
    async def scenario() -> None:
        slots = Slots(1, 10)
        holder = Caller(slots)
        await settled()
        waiting = [Caller(slots) for _ in range(3)]
        await settled()
        slots.queue.dismiss(lambda: LlmNotAskedError("it is down"))
        outcomes = await asyncio.gather(*(caller.task for caller in waiting), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["it is down"] * 3
        assert (holder.has_slot, slots.in_use, slots.queued) == (True, 1, 0)
        holder.let_go.set()
        await holder.task
        assert slots.in_use == 0

    run(scenario)
