"""How long a forward takes here, and what it costs beside its tokens."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from models.launching import Launcher, Row

_ROUNDS = 5
# Bounds of a measured cost, in tokens, so that no hiccup of the machine makes every row a forward of its own or every
# batch one rectangle.
_CHEAPEST, _DEAREST = 4.0, 512.0


def best_seconds(step: Callable[[], object]) -> float:
    """Best of some runs: the least disturbed one says most about the machine."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


def forward_cost(launcher: Launcher[Row], probes: Sequence[Row]) -> float:
    """What a forward costs beside its tokens, in tokens: the line through a short and a long one, at no tokens."""
    short, long = [min(probes, key=len)], [max(probes, key=len)] * 4
    few, many = (sum(map(len, batch)) for batch in (short, long))
    quick, slow = (best_seconds(partial(_wait, launcher, batch)) for batch in (short, long))
    if slow <= quick:
        return _DEAREST
    token = (slow - quick) / (many - few)
    return min(max(quick / token - few, _CHEAPEST), _DEAREST)


def _wait(launcher: Launcher[Row], batch: Sequence[Row]) -> None:
    launcher.launch(batch).result()
