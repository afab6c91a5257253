"""Where the time of one request went."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.budget import Deadline
from service.telemetry.traces import NONE, Attributes, RequestTrace

# total = rewrite + tokenize + queue + embed + search + lexical + fusion + boost + rerank + prompt + llm_total + other:
# words are looked for after the vectors, on the same thread. llm_ttft and llm_itl lie inside llm_total.
_INSIDE_ANOTHER = {"llm_ttft", "llm_itl"}
# It has a span of its own, which its server knows of.
_TRACED_ELSEWHERE = "llm_total"


class Timings:
    """A stopwatch with named stages, in seconds until it is read.

    Attributes:
        trace: that has a span for each stage; None where none is wanted.
        counts: numbers and hashes of the request, for its line in the log.
        spent: seconds of what a stage's budget covers, which may be more than the stage of that name; infinite where
            the budget ended it.
        has_failed: the request, or a stream that had begun, ended with an error or without its end.
        problem: the code of the error that ended a stream; empty where none did.
    """

    def __init__(self, trace: RequestTrace | None = None) -> None:
        self.trace = trace
        self.counts: dict[str, int | str] = {}
        self._start = time.perf_counter()
        self._end: float | None = None
        self._stages: dict[str, float] = {}
        self.spent: dict[str, float] = {}
        self.has_failed = False
        self.problem = ""

    def elapsed(self) -> float:
        """Seconds since the request began, to its end where that has come."""
        return (time.perf_counter() if self._end is None else self._end) - self._start

    def end(self) -> None:
        """The request has ended: whatever is read later is of now."""
        self._end = time.perf_counter()

    def add(self, stage: str, seconds: float, attributes: Attributes = NONE, ago_s: float = 0.0) -> None:
        """Count ``seconds`` to a stage that ended ``ago_s`` before now; its span has the attributes."""
        self._count(stage, seconds)
        self.trace_stage(stage, seconds, attributes, ago_s)

    def trace_stage(self, stage: str, seconds: float, attributes: Attributes = NONE, ago_s: float = 0.0) -> None:
        """Only a span, of what is counted otherwise and ended ``ago_s`` before now."""
        if self.trace is not None and stage != _TRACED_ELSEWHERE:
            self.trace.stage(stage, seconds, attributes, ago_s)

    def put(self, stage: str, seconds: float) -> None:
        """Let a stage be ``seconds``, whatever was counted to it before."""
        self._stages[stage] = seconds

    def move(self, seconds: float, stage: str, to: str) -> None:
        """Count to another stage what was, or is being, measured inside ``stage``."""
        self._count(stage, -seconds)
        self._count(to, seconds)

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

    def _count(self, stage: str, seconds: float) -> None:
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def spend(self, stage: str, seconds: float) -> None:
        """Hold a time against the budget of a stage; of several the longest, as each has the whole budget."""
        self.spent[stage] = max(seconds, self.spent.get(stage, 0.0))

    @contextmanager
    def budgeted(self, stage: str, limit: Deadline) -> Iterator[None]:
        """Hold the block against the budget of a stage, unless it fails while there is time.

        Args:
            limit: of the block: the budget, or what the request has left where that is less.
        """
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            if limit.is_budget and limit.has_passed:
                self.spend(stage, math.inf)
            raise
        self.spend(stage, time.perf_counter() - start)

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
