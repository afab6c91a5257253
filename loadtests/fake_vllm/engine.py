"""The engine: takes sequences in turn and lets their tokens out as time goes by."""

import random
import time
from collections.abc import AsyncGenerator

import anyio

from loadtests.fake_vllm.bodies import Chat, Completion
from loadtests.fake_vllm.measures import Measures
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.prefixes import Prefixes
from loadtests.fake_vllm.refusals import Refusal
from loadtests.fake_vllm.scheduler import Scheduler
from loadtests.fake_vllm.script import Rule, Script
from loadtests.fake_vllm.sequence import Moments, Sequence, answer, room


class Engine:
    """Everything behind the routes."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.script = Script()
        self.scheduler = Scheduler(options)
        self.measures = Measures(options.model, self.scheduler)
        self._prefixes = Prefixes()
        self._random = random.Random(options.seed)  # noqa: S311  jitter

    def sequence(self, body: Chat | Completion) -> Sequence:
        """What the answer to this will be.

        Raises:
            Refusal: it cannot be answered.
        """
        prompt = body.tokens()
        most = room(body, prompt, self.options)
        rule = self.script.rule_for(body.text)
        cached, created = self._prefixes.take(body.cache_salt, prompt)
        self.measures.prefix_queries.inc(len(prompt))
        self.measures.prefix_hits.inc(cached)
        return Sequence(body, rule, prompt, *answer(body, rule, most), cached, created)

    async def speak(self, sequence: Sequence) -> AsyncGenerator[str, None]:
        """The tokens of the answer, once it is its turn.

        Raises:
            Refusal: the engine died.
        """
        at, measures = sequence.moments, self.measures
        await self.scheduler.turn(sequence.body.priority)
        try:
            at.scheduled = time.monotonic()
            measures.queue_s.observe(at.scheduled - at.arrived)
            measures.prompt_tokens.inc(len(sequence.prompt))
            for position, token in enumerate(sequence.answer):
                await self._wait(sequence.rule, first=position == 0)
                self._observe(at)
                yield token
            measures.e2e_s.observe(at.last_token - at.arrived)
        finally:
            self.scheduler.leave()

    async def _wait(self, rule: Rule, first: bool) -> None:
        given = rule.ttft_ms if first else rule.itl_ms
        usual = self.options.ttft_ms if first else self.options.itl_ms
        jitter = self.options.jitter if rule.jitter is None else rule.jitter
        wait_ms = (usual if given is None else given) * (1 + jitter * self._random.uniform(-1, 1))
        await anyio.sleep(wait_ms / 1000)
        await self.script.until_not("hung", "frozen")
        if self.script.engine == "dead":
            raise Refusal.dead()

    def _observe(self, at: Moments) -> None:
        since = at.token()
        self.measures.generation_tokens.inc()
        if since:
            self.measures.itl_s.observe(since)
        else:
            self.measures.ttft_s.observe(at.first_token - at.arrived)
