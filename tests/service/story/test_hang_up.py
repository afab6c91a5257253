"""A client that hangs up while the language model writes."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from service.generation.base import Delta


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


def test_the_work_of_a_reply_that_nobody_waits_for_ends(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [Delta("Half an ans"), None]
        question = {"query": "When do the honey bees sleep?", "collection": "docs"}
        sent = await story.asked_and_left("/v1/query", question)
        assert sent[0]["status"] == 499
        assert (story.llm.open, len(story.llm.requests)) == (0, 1)
        await story.settled(tasks)

    async def told() -> None:
        async with open_story() as story:
            await scenario(story)

    asyncio.run(told())
