"""What stands around a passage, in a prompt and in citations."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from service.generation.base import Cited, Delta, Finished


class OpenStory(Protocol):
    def __call__(self, **settings: object) -> AbstractAsyncContextManager[Any]: ...


TEXT = " ".join(f"Sentence {number} is about topic{number} and nothing else at all." for number in range(12))


@pytest.mark.parametrize("llm", ["main", "extractive"])
def test_a_generator_reads_on_and_cites_exactly(open_story: OpenStory, llm: str) -> None:
    async def scenario() -> None:
        async with open_story(answer={"neighbours": 1, "min_score": -1}) as story:
            chunking = {"chunking": {"size": 16, "overlap": 0}}
            await story.http.put("/v1/collections/long", json=chunking)
            await story.http.put("/v1/collections/long/documents/a", json={"text": TEXT})
            story.llm.script = [Delta("So it is [1]."), Cited(1, 0, 20, 9, 12), Finished("stop")]
            asked = {"query": "Sentence 5 topic5", "collection": "long", "top_k": 1, "llm": llm}
            reply = (await story.ask(**asked)).json()
            (chunk,) = reply["chunks"]
            assert len(chunk["text"]) < 100
            if llm == "main":
                (passage,) = story.llm.requests[0].passages
                wide = passage.hit.chunk
                assert wide.start < chunk["start"] < chunk["end"] < wide.end
                assert wide.text == TEXT[wide.start : wide.end]
                story.llm.script[1] = Cited(1, wide.start, wide.end, 9, 12)
                reply = (await story.ask(**asked)).json()
                assert reply["citations"][0]["quote"] == wide.text
            for citation in reply["citations"]:
                assert citation["quote"] == TEXT[citation["document_start"] : citation["document_end"]]
                assert citation["chunk_id"] == chunk["id"]
            assert reply["citations"]

    asyncio.run(scenario())


def test_hits_that_touch_are_one_passage(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with open_story(answer={"neighbours": 1, "min_score": -1}) as story:
            await story.http.put("/v1/collections/long", json={"chunking": {"size": 16, "overlap": 0}})
            await story.http.put("/v1/collections/long/documents/a", json={"text": TEXT})
            reply = (await story.ask(query="Sentence 5", collection="long", top_k=100)).json()
            assert len(reply["chunks"]) > 8
            (request,) = story.llm.requests
            spans = [(each.hit.chunk.start, each.hit.chunk.end) for each in request.passages]
            assert all(one[1] < other[0] or other[1] < one[0] for one in spans for other in spans if one is not other)

    asyncio.run(scenario())
