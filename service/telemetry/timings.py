"""Where the time of one request went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

# total = rewrite + queue + embed + search + lexical + fusion + boost + rerank + prompt + llm_total + other: words are
# looked for after the vectors, on the same thread. llm_ttft lies inside llm_total.
_INSIDE_ANOTHER = {"llm_ttft"}


class Timings:
    """A stopwatch with named stages, in seconds until it is read."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    def elapsed(self) -> float:
        """Seconds since the request began."""
        return time.perf_counter() - self._start

    def add(self, stage: str, seconds: float) -> None:
        """Count ``seconds`` to a stage."""
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def put(self, stage: str, seconds: float) -> None:
        """Let a stage be ``seconds``, whatever was counted to it before."""
        self._stages[stage] = seconds

    def move(self, seconds: float, stage: str, to: str) -> None:
        """Count to another stage what was, or is being, measured inside ``stage``."""
        self.add(stage, -seconds)
        self.add(to, seconds)

    @property
    def has_stages(self) -> bool:
        """Something was counted to a stage."""
        return bool(self._stages)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block to a stage, however it ends."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds, with ``other`` and ``total``."""
        total = self.elapsed()
        named = sum(seconds for stage, seconds in self._stages.items() if stage not in _INSIDE_ANOTHER)
        return {**self._stages, "other": max(0.0, total - named), "total": total}

    def milliseconds(self) -> dict[str, float]:
        """Stage -> milliseconds, to the microsecond."""
        return {stage: round(seconds * 1000, 3) for stage, seconds in self.seconds().items()}


def server_timing(milliseconds: dict[str, float]) -> str:
    """The Server-Timing header (W3C Server Timing) of ``Timings.milliseconds``."""
    return ", ".join(f"{stage};dur={value}" for stage, value in milliseconds.items())
