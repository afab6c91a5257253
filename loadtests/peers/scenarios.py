"""The loads, and what Quarry is to reach in each."""

from dataclasses import dataclass
from typing import Literal

_SHORT = (6, 12)
_LONG = (60, 180)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on Quarry divided by its peer.

    Attributes:
        of: rates are to be at least ``bound``, latencies at most.
        bound: in multiples of the peer.
    """

    of: Literal["requests_per_s", "p50_ms"]
    bound: float

    def met(self, ratio: float) -> bool:
        """Whether a ratio is on the right side."""
        return ratio >= self.bound if self.of == "requests_per_s" else ratio <= self.bound


@dataclass(frozen=True, slots=True)
class Scenario:
    """One shape of load.

    Attributes:
        words: fewest and most words of a text.
    """

    name: str
    concurrency: int
    texts_per_request: int
    words: tuple[int, int]
    target: Target


SCENARIOS = (
    Scenario("queries", 32, 1, _SHORT, Target("requests_per_s", 4.0)),
    Scenario("chunks", 4, 16, _LONG, Target("requests_per_s", 2.5)),
    Scenario("one-query", 1, 1, _SHORT, Target("p50_ms", 0.5)),
)
