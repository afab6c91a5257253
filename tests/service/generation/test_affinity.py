"""What servers' prefix caches lose where a conversation goes to whichever server has the least to do.

``CONVERSATIONS`` says how many there are: with few, the instructions that every server reads once weigh more.
"""

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import fake_vllm
from service.generation.base import Finished, GenerationRequest, Turn
from service.generation.openai import OpenAIGenerator
from service.llm_settings import LlmSettings

Ask = Callable[..., GenerationRequest]

CONVERSATIONS, QUESTIONS, AT_ONCE = int(os.environ.get("CONVERSATIONS", "12")), 4, 8
ANSWER = " ".join(["answer"] * 60)
OPTIONS = Options(model="tiny", max_model_len=16_384, ttft_ms=10, itl_ms=0.2)


def hit_rate(asked: Ask, servers: int, seed: int) -> float:
    """Share of the prompts' tokens that the servers had cached, each question with passages of its own."""
    words = random.Random(seed)  # noqa: S311
    counts = {"prompt_tokens": 0, "cached_tokens": 0}

    def text(length: int) -> str:
        return " ".join(f"w{words.randrange(3000)}" for _ in range(length))

    async def scenario(urls: list[str]) -> None:
        settings = LlmSettings(urls=urls, model="tiny", server="vllm", context=16_384)
        generator, places = OpenAIGenerator(settings, urls), asyncio.Semaphore(AT_ONCE)

        async def converse() -> None:
            turns: list[Turn] = []
            for _ in range(QUESTIONS):
                question = text(10)
                request = asked(passages=8, text=text(75), milliseconds=300_000, tenant="acme")
                request = replace(request, question=question, max_tokens=128, turns=tuple(turns))
                async with places:
                    *_, finished = [event async for event in generator.generate(request)]
                assert isinstance(finished, Finished)
                for name in counts:
                    counts[name] += finished.usage[name]
                turns += [Turn("user", question), Turn("assistant", ANSWER)]

        await asyncio.gather(*(converse() for _ in range(CONVERSATIONS)))
        await generator.close()

    with ExitStack() as stack:
        fakes = [stack.enter_context(fake_vllm(OPTIONS)) for _ in range(servers)]
        for fake in fakes:
            fake.script({"text": "Yes."})  # what was said before is as long as answers are, and this saves their time
        asyncio.run(scenario([fake.url for fake in fakes]))
    return counts["cached_tokens"] / counts["prompt_tokens"]


@pytest.mark.parametrize("seed", [7])
def test_a_few_percent_of_the_prompts_tokens(asked: Ask, seed: int) -> None:
    """One server has every conversation, as affinity would at best. The figures stand in docs/language-models.md."""
    rates = {servers: hit_rate(asked, servers, seed) for servers in (1, 2, 4)}
    print(rates)  # noqa: T201  for the page
    assert 0.1 < rates[1] < 0.2
    assert 0 < rates[1] - rates[4] < 0.13
    assert rates[1] - rates[2] < 0.09
