"""The events of an answer on their way through a screen."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from service.content.base import AnswerScreen
from service.generation.base import Cited, Delta, Event, Finished

CONTENT_FILTER = "content_filter"
"""OpenAI's ``finish_reason`` of an answer that was ended for what it says."""

Other = TypeVar("Other")


async def screened(
    events: AsyncGenerator[Event | Other, None], screen: AnswerScreen
) -> AsyncGenerator[Event | Other, None]:
    """The events with the text that may be shown, and citations of markers that are shown, where they are then.

    A block closes ``events``, which ends the work behind them, and is the end. So a citation is to come before any text
    behind its marker.
    """
    waiting: deque[Cited] = deque()
    async with aclosing(events):
        async for event in events:
            match event:
                case Delta(text):
                    for shown in _shown(screen.feed(text), screen, waiting):
                        yield shown
                    if screen.is_blocked:
                        yield Finished(CONTENT_FILTER, is_blocked=True)
                        return
                case Cited():
                    waiting.append(event)
                    for shown in _shown("", screen, waiting):
                        yield shown
                case Finished():
                    for shown in _shown(screen.flush(), screen, waiting):
                        yield shown
                    yield replace(event, reason=CONTENT_FILTER, is_blocked=True) if screen.is_blocked else event
                case _:
                    yield event


def _shown(text: str, screen: AnswerScreen, waiting: deque[Cited]) -> Iterator[Delta | Cited]:
    """The text, and the citations whose markers are decided now."""
    if text:
        yield Delta(text)
    while waiting and waiting[0].answer_end <= screen.decided:
        cited = waiting.popleft()
        place = screen.shown_at(cited.answer_start, cited.answer_end)
        if place is not None:
            yield replace(cited, answer_start=place[0], answer_end=place[1])
