"""Samples: what one metric says of each query, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Samples:
    """One metric. The whole is the sum of ``values`` over the sum of ``weights``.

    Attributes:
        ids: of queries, no two the same.
        values: ``(n,)``, what a query brings.
        weights: ``(n,)``, how much of it there could have been: 1 of a mean over queries, and of a share of
            citations the citations of the query's answer.
    """

    name: str
    ids: tuple[str, ...]
    values: Floats
    weights: Floats

    @classmethod
    def of(cls, name: str, ids: Sequence[str], values: Sequence[float], weights: Sequence[float] = ()) -> "Samples":
        """From numbers; without weights each query counts alike."""
        taken = np.asarray(values, np.float64)
        return cls(name, tuple(ids), taken, np.asarray(weights, np.float64) if weights else np.ones(len(taken)))

    @property
    def whole(self) -> float | None:
        """The metric; None where there is nothing to take it of."""
        total = self.weights.sum()
        return float(self.values.sum() / total) if total else None

    def restricted(self, ids: Sequence[str]) -> "Samples":
        """The same of these queries, in their order."""
        places = {query: place for place, query in enumerate(self.ids)}
        chosen = [places[query] for query in ids]
        return replace(self, ids=tuple(ids), values=self.values[chosen], weights=self.weights[chosen])

    def resampled(self, chosen: npt.NDArray[np.int64]) -> float:
        """The metric of queries by place, each as often as it is named; NaN where they weigh nothing."""
        total = self.weights[chosen].sum()
        return float(self.values[chosen].sum() / total) if total else float("nan")
