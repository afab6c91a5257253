"""Targets: what a figure should come to, as ``NAME=VALUE`` on the command line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.cli.eval.answer_metrics import AUROC_METRICS, SHARE_METRICS
from service.cli.eval.errors import UsageError
from service.cli.eval.evaluation import CollectionResult, Evaluation
from service.cli.eval.fidelity import OVERLAP, depth_metric
from service.cli.eval.relevance import RELEVANCE_METRICS

_MILLISECONDS = "_ms"
_TIMES = {f"{what}_{part}{_MILLISECONDS}": (what, part) for what in ("search", "query") for part in ("p50", "p95")}


class TargetError(UsageError):
    """A target names no figure, or has no value; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure by name, and its limit.

    Attributes:
        name: METRIC, alone or behind the names of a collection and a way, with dots between.
        limit: the least it may be, or the most where it is a time.
    """

    name: str
    limit: float

    @classmethod
    def parsed(cls, text: str, collections: Sequence[str], ways: Sequence[str], top_k: int) -> "Target":
        """A target of one of these collections and ways.

        Raises:
            TargetError: it is none.
        """
        name, _, value = text.rpartition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = math.nan
        if not name or not math.isfinite(limit):
            raise TargetError(f"--target {text}: must be NAME=VALUE, with a number")
        known = [*RELEVANCE_METRICS, *SHARE_METRICS, *AUROC_METRICS, *_TIMES, OVERLAP, depth_metric(top_k)]
        if not any(
            name in _names(metric, collection, way) for metric in known for collection in collections for way in ways
        ):
            raise TargetError(
                f"--target {text}: {name} is not [COLLECTION.][WAY.]METRIC with one of {', '.join(known)}"
            )
        return cls(name, limit)

    @property
    def is_most(self) -> bool:
        """Times should be short, everything else great."""
        return self.name.endswith(_MILLISECONDS)

    def verdicts(self, evaluation: Evaluation) -> list["Verdict"]:
        """One for each figure of that name; a single missed one where nothing was measured."""
        found = [
            Verdict(f"{collection.name}.{way}.{metric}", value, self.limit, self.is_most)
            for collection in evaluation.collections
            for way, metric, value in _figures(collection)
            if self.name in _names(metric, collection.name, way)
        ]
        return found or [Verdict(self.name, None, self.limit, self.is_most)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure beside its target; without a value nothing was measured.

    Attributes:
        is_strict: the limit itself is not enough.
    """

    name: str
    value: float | None
    limit: float
    is_most: bool
    is_strict: bool = False

    @property
    def bound(self) -> str:
        """What the limit is, in words."""
        return "at most" if self.is_most else "more than" if self.is_strict else "at least"

    @property
    def met(self) -> bool:
        """On the right side of the limit."""
        if self.value is None or (self.is_strict and self.value == self.limit):
            return False
        return self.value <= self.limit if self.is_most else self.value >= self.limit


def _figures(collection: CollectionResult) -> list[tuple[str, str, float]]:
    """Way, metric and value of all that has one; what was said of the index was measured in the first way."""
    found = [
        (result.way, metric.name, metric.value)
        for result in collection.ways
        for metric in result.metrics
        if metric.value is not None
    ]
    found += [
        (result.way, name, getattr(latency, part))
        for result in collection.ways
        for name, (what, part) in _TIMES.items()
        if (latency := result.latency_ms[what]) is not None
    ]
    first, metrics = collection.ways[0].way, collection.index.metrics if collection.index else ()
    return found + [(first, metric.name, metric.value) for metric in metrics if metric.value is not None]


def _names(metric: str, collection: str, way: str) -> tuple[str, ...]:
    return metric, f"{collection}.{metric}", f"{way}.{metric}", f"{collection}.{way}.{metric}"
