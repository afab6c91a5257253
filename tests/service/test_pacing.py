"""A generator that falls silent."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from service.budget import Deadline
from service.errors import LlmTimeoutError
from service.generation.base import Cited, Delta, Event, Finished, Heard
from service.pacing import Pacing
from service.settings import BudgetSettings
from service.telemetry.timings import Timings

CITED = Cited(1, 0, 1, 0, 1)


class Source:
    """Says its events; None is a silence for ever."""

    def __init__(self, *events: Event | None) -> None:
        self.events = events
        self.is_closed = False

    async def generate(self) -> AsyncGenerator[Event, None]:
        try:
            for event in self.events:
                if event is None:
                    await asyncio.Event().wait()
                else:
                    yield event
        finally:
            self.is_closed = True


def heard(source: Source, deadline_ms: int = 600_000, **budgets: int) -> tuple[list[Event], str | None]:
    """The events, and why there were no more."""
    events: list[Event] = []

    async def listen() -> None:
        async for event in Pacing(BudgetSettings(**budgets), Timings()).paced(
            source.generate(), Deadline.after(deadline_ms)
        ):
            events.append(event)

    try:
        asyncio.run(listen())
    except LlmTimeoutError as error:
        assert source.is_closed
        return events, str(error)
    return events, None


def test_what_comes_in_time_is_handed_on() -> None:
    events: list[Event] = [Delta("Yes"), CITED, Finished("stop")]
    assert heard(Source(*events), llm_ttft_ms=600_000, llm_itl_ms=600_000) == (events, None)


@pytest.mark.parametrize("before", [[], [CITED]])
def test_no_first_text(before: list[Event]) -> None:
    events, why = heard(Source(*before, None), llm_ttft_ms=20, llm_itl_ms=600_000)
    assert events == before
    assert why == "the language model wrote nothing more within the budgets.llm_ttft_ms of 20 ms"


def test_no_second_text() -> None:
    events, why = heard(Source(Delta("Yes"), None), llm_ttft_ms=600_000, llm_itl_ms=20)
    assert events == [Delta("Yes")]
    assert why == "the language model wrote nothing more within the budgets.llm_itl_ms of 20 ms"


@pytest.mark.parametrize("before", [[], [Delta("Yes")]])
def test_the_deadline_is_above_all_budgets(before: list[Event]) -> None:
    events, why = heard(Source(*before, None), deadline_ms=20, llm_ttft_ms=600_000, llm_itl_ms=600_000)
    assert events == before
    assert why == "the language model wrote nothing more within the deadline of 20 ms"


def test_a_slow_reader_is_not_held_against_the_model() -> None:
    source = Source(*[Delta("x")] * 5, Finished("stop"))

    async def read_slowly() -> int:
        count = 0
        loop = asyncio.get_running_loop()
        async for _ in Pacing(BudgetSettings(llm_itl_ms=1), Timings()).paced(
            source.generate(), Deadline.after(600_000)
        ):
            count += 1
            passed = loop.create_future()
            loop.call_later(0.01, passed.set_result, None)
            await passed
        return count

    assert asyncio.run(read_slowly()) == 6


def test_what_is_held_back_is_no_silence() -> None:
    """It counts as the first text as well: nothing is late but what is shown."""
    events, why = heard(Source(Heard(), None), llm_ttft_ms=600_000, llm_itl_ms=20)
    assert (events, why) == ([], "the language model wrote nothing more within the budgets.llm_itl_ms of 20 ms")
    shown: list[Event] = [Delta("Yes"), Finished("stop")]
    assert heard(Source(Heard(), *shown), llm_ttft_ms=600_000, llm_itl_ms=600_000) == (shown, None)
