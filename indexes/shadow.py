"""Live searches that are made again exactly, a few in a hundred, to know the recall that users get."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexes.base import RowIds, SearchParams, Vectors
from indexes.nearest import nearest_exactly
from indexes.recall import LiveRecall, RecallEstimate
from indexes.view import View

# What recall is counted over, as on the curve.
RECALL_AT = 10
_MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A search, and what it was answered."""

    view: View
    version: int
    query: Vectors
    params: SearchParams
    rows: RowIds


class ShadowSearches:
    """Samples searches on the threads that make them; compares them on another.

    Args:
        share: of the searches that are sampled, 0..1.
        seed: of the sample; None draws another one in each process.
    """

    def __init__(self, share: float, seed: int | None = None) -> None:
        self._share = share
        self._random = random.Random(seed)  # noqa: S311  a sample, not a secret
        self._waiting: deque[Shadowed] = deque(maxlen=_MAX_WAITING)
        self._live = LiveRecall()

    @property
    def waiting(self) -> int:
        """Searches still to compare; of more than 64 the oldest are let go."""
        return len(self._waiting)

    @property
    def estimate(self) -> RecallEstimate:
        """Recall at ten of the last thousand that were compared."""
        return self._live.estimate()

    def offer(self, view: View, version: int, query: Vectors, params: SearchParams, rows: RowIds) -> None:
        """Perhaps sample a search; one that was exact, or asked for settings of its own, says nothing."""
        own = params.nprobe is not None or params.refine is not None or params.score_threshold is not None
        if view.sealed is not None and not own and self._random.random() < self._share:
            self._waiting.append(Shadowed(view, version, query, params, rows))

    def compare(self) -> None:
        """Make every waiting search again, exactly."""
        for shadowed in self._taken():
            top_k = min(RECALL_AT, shadowed.params.top_k)
            params = replace(shadowed.params, top_k=top_k, explain=False)
            exact = nearest_exactly(shadowed.view, shadowed.version, shadowed.query, params)
            self._live.record(int(np.isin(exact, shadowed.rows[:top_k]).sum()), len(exact))

    def clear(self) -> None:
        """Forget what another index, or another setting of it, was measured at."""
        self._waiting.clear()
        self._live.clear()

    def _taken(self) -> Sequence[Shadowed]:
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken
