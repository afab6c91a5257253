"""Copies of a text reach a prompt once."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest


class OpenStory(Protocol):
    def __call__(self, **settings: object) -> AbstractAsyncContextManager[Any]: ...


TEXT = "The honey bees of the northern meadow sleep in winter. In spring the bees wake up and visit the clover."


@pytest.mark.parametrize("stream", [False, True])
def test_a_copy_is_found_and_not_given_to_a_model(open_story: OpenStory, stream: bool) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            for name in ("copy", "other"):
                text = TEXT if name == "copy" else "Honey bees sleep below the oak."
                await story.http.put(f"/v1/collections/docs/documents/{name}", json={"title": "Bees", "text": text})
            said = await story.told(explain=True) if stream else [("", (await story.ask(explain=True)).json())]
            found = said[0][1]
            ids = [chunk["id"] for chunk in found["chunks"]]
            assert sorted(ids) == ["bees#0", "copy#0", "other#0"]
            first, second = (id_ for id_ in ids if id_ != "other#0")
            assert found["explain"]["duplicates"] == [{"chunk_id": second, "of": first}]
            (request,) = story.llm.requests
            assert [passage.hit.chunk.id for passage in request.passages] == [id_ for id_ in ids if id_ != second]
            assert [passage.number for passage in request.passages] == [1, 2]
            searched = (await story.ask("/v1/search", explain=True)).json()
            assert (len(searched["chunks"]), searched["explain"]["duplicates"]) == (3, [])

    asyncio.run(scenario())
