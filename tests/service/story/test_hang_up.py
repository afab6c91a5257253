"""A client that hangs up while the language model writes."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import httpx

from service.generation.base import Delta


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


def test_the_work_of_a_reply_that_nobody_waits_for_ends(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [Delta("Half an ans"), None]
        body = b'{"query": "When do the honey bees sleep?", "collection": "docs"}'
        sent: list[dict[str, Any]] = []
        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(incoming, None)
            if message is None:
                await story.llm.begun.wait()
                return {"type": "http.disconnect"}
            return message

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        request = httpx.Request("POST", "http://localhost/v1/query", headers={"content-type": "application/json"})
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/v1/query", "raw_path": b"/v1/query", "root_path": "", "query_string": b"",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1), "server": ("quarry", 80),
        }  # fmt: skip
        await story.app(scope, receive, send)
        assert sent[0]["status"] == 499
        assert (story.llm.open, len(story.llm.requests)) == (0, 1)
        await story.settled(tasks)

    async def told() -> None:
        async with open_story() as story:
            await scenario(story)

    asyncio.run(told())
