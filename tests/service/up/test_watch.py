"""A look at a server that fails is a look that saw nothing, however it fails."""

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from service.up.canary import CanaryError
from service.up.durations import Durations
from service.up.watch import Watch

PATIENCE_S = 60.0
QUICK = Durations(
    look_s=0.001, canary_every_s=0.001, count_every_s=0.001, frozen_after_s=0.05, killed_after_s=0.05, canary_s=1.0
)
ODD = [RuntimeError("cannot send in this state"), ValueError("a chunk of -1 bytes"), CanaryError("status 503")]


class OddCanary:
    """Raises what it is given, in turn, then answers as often as it is told to, and never again."""

    def __init__(self, *, answers: int) -> None:
        self._steps: Iterator[Exception | None] = chain(ODD, repeat(None, answers), repeat(CanaryError("no answer")))
        self.asked = 0

    async def is_healthy(self, within_s: float) -> bool:
        return True

    async def token(self, within_s: float) -> None:
        self.asked += 1
        step = next(self._steps)
        if step:
            raise step

    async def counters(self, within_s: float) -> tuple[str, ...] | None:
        raise RuntimeError("nobody foresaw this")


def test_only_silence_ends_a_watch(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> tuple[str, list[tuple[str, str]], int]:
        canary: Any = OddCanary(answers=20)
        told: list[tuple[str, str]] = []
        watch = Watch(canary, QUICK, PATIENCE_S, lambda: 0.0, lambda phase, why: told.append((phase, why)))
        return await watch.run(), told, canary.asked

    why, told, asked = asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert why.startswith("frozen for")
    starting = [("starting", f"{type(error).__name__}: {error}") for error in ODD[:2]]
    assert told[:4] == [*starting, ("starting", "status 503"), ("ready", "")]
    assert told[4][0] == "frozen"
    assert asked > len(ODD) + 20
    assert "a look at the language model's server failed" in caplog.text
