"""What stands in front of a search costs: the same searches with all of it, without keys, and with nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.cli.bench.access.asking import Asking

TOP_K = 10
_BLOCKS = 10
_WARM_UP = 100
_OK = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """A difference of medians, milliseconds.

    Attributes:
        p50: over all samples.
        least: of the blocks that the run is cut into, as ``most``: its spread.
    """

    p50: float
    least: float
    most: float

    @classmethod
    def of(cls, dear: Sequence[float], cheap: Sequence[float]) -> "Cost":
        """Of samples in seconds, those of one place taken one after the other."""
        blocks = zip(np.array_split(dear, _BLOCKS), np.array_split(cheap, _BLOCKS), strict=True)
        each = [float(np.median(one) - np.median(other)) for one, other in blocks]
        whole = float(np.median(dear) - np.median(cheap))
        return cls(*(round(seconds * 1000, 3) for seconds in (whole, min(each), max(each))))


def alternated(
    servers: Mapping[str, Asking], texts: Sequence[str], collection: str, rounds: int
) -> dict[str, list[float]]:
    """Seconds of every search, by server: each text goes to all of them before the next one.

    Raises:
        RuntimeError: one was refused.
    """
    took: dict[str, list[float]] = {name: [] for name in servers}
    names = list(servers)
    for number in range(_WARM_UP + rounds):
        body = {"query": texts[number % len(texts)], "collection": collection, "top_k": TOP_K}
        first = number % len(names)
        for name in names[first:] + names[:first]:
            timed = servers[name].ask("/v1/search", body)
            if timed.status != _OK:
                raise RuntimeError(f"a search of {name} was answered with {timed.status}")
            if number >= _WARM_UP:
                took[name].append(timed.seconds)
    return took
