"""Stopwatch: when the text of one answer came."""

import time
from collections.abc import Mapping

from service.generation.llm_costs import LlmCosts
from service.telemetry.llm import LlmMeters

# Of text in European languages; only for servers that do not count.
_CHARACTERS_PER_TOKEN = 4


class Stopwatch:
    """Pressed at every piece of text; it starts when it is made."""

    def __init__(self, meters: LlmMeters) -> None:
        self._meters = meters
        self._began = time.monotonic()
        self._first = self._last = 0.0
        self._pieces = 0

    def press(self) -> None:
        """Text came."""
        now = time.monotonic()
        if self._pieces == 0:
            self._first = now
            self._meters.ttft.observe(now - self._began)
        else:
            self._meters.itl.observe(now - self._last)
        self._last = now
        self._pieces += 1

    def teach(self, costs: LlmCosts, prompt_characters: int, usage: Mapping[str, int]) -> None:
        """Let what came of the answer count among the costs; of one that broke off, the pieces are its tokens."""
        if not self._pieces:
            return
        prompt_tokens = usage.get("prompt_tokens", prompt_characters // _CHARACTERS_PER_TOKEN)
        gaps = usage.get("completion_tokens", self._pieces) - 1
        token_s = (self._last - self._first) / gaps if gaps > 0 and self._pieces > 1 else None
        costs.add(prompt_tokens, self._first - self._began, token_s)
