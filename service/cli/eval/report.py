"""Report: an evaluation as one JSON object."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from service.cli.bench.machine import processor
from service.cli.eval.bootstrap import CONFIDENCE, Metric
from service.cli.eval.earlier import Compared
from service.cli.eval.evaluation import CollectionResult, Evaluation
from service.cli.eval.index_comparison import IndexResult
from service.cli.eval.options import Options
from service.cli.eval.samples import Samples
from service.cli.eval.targets import Verdict
from service.cli.eval.way_result import WayResult

_LIBRARIES = ("quarry", "pytrec-eval-terrier", "numpy")


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, with what, and what it is held to."""

    evaluation: Evaluation
    options: Options
    compared: Sequence[Compared]
    verdicts: Sequence[Verdict]

    @property
    def met(self) -> bool:
        """Every target is."""
        return all(verdict.met for verdict in self.verdicts)

    @property
    def failures(self) -> int:
        """Questions that the server refused."""
        return sum(len(way.failures) for collection in self.evaluation.collections for way in collection.ways)

    def as_json(self) -> dict[str, Any]:
        """One object; ``per_query`` is what a later run compares itself with."""
        bootstrap = self.options.bootstrap
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in _LIBRARIES},
            "processor": processor(),
            "cores": os.cpu_count(),
            "server": self.evaluation.server,
            "seed": bootstrap.seed,
            "resamples": bootstrap.resamples,
            "confidence": CONFIDENCE,
            "top_k": self.options.top_k,
            "concurrency": self.options.concurrency,
            "llm": self.options.llm,
            "foreign": [str(each.folder) for each in self.options.foreign],
            "collections": [_collection(each) for each in self.evaluation.collections],
            "compared": [asdict(each) for each in self.compared],
            "targets": [asdict(each) | {"met": each.met} for each in self.verdicts],
            "failures": self.failures,
            "met": self.met,
        }


def _collection(result: CollectionResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "folder": result.folder,
        "documents": asdict(result.documents),
        "unknown": asdict(result.unknown),
        "queries": result.queries,
        "questions": result.questions,
        "settings": result.settings,
        "ways": [_way(each) for each in result.ways],
        "differences": {way: [asdict(each) for each in found] for way, found in result.differences.items()},
        "index": _index(result.index) if result.index else {"compared": False, "reason": result.index_reason},
    }


def _way(result: WayResult) -> dict[str, Any]:
    return {
        "way": result.way,
        "metrics": _metrics(result.metrics),
        "latency_ms": {what: latency and asdict(latency) for what, latency in result.latency_ms.items()},
        "share_by_lists": result.share_by_lists,
        "degraded": result.degraded,
        "failures": [asdict(each) for each in result.failures],
        "curve": [asdict(each) for each in result.curve],
        "per_query": {each.name: _per_query(each) for each in result.samples},
    }


def _index(result: IndexResult) -> dict[str, Any]:
    return {
        "compared": True,
        "metrics": _metrics(result.metrics),
        "differences": [asdict(each) for each in result.differences],
        "latency_ms": {
            "exact": result.exact_ms and asdict(result.exact_ms),
            "ivf_pq": result.ivf_pq_ms and asdict(result.ivf_pq_ms),
        },
        "share_by_lists": result.share_by_lists,
    }


def _metrics(metrics: Sequence[Metric]) -> dict[str, dict[str, float | int | None]]:
    return {each.name: {"value": each.value, "low": each.low, "high": each.high, "n": each.n} for each in metrics}


def _per_query(samples: Samples) -> dict[str, float | tuple[float, float]]:
    """Unrounded, or every query would differ from itself; the weight is left out where each query counts alike."""
    values = samples.values.tolist()
    if (samples.weights == 1).all():
        return dict(zip(samples.ids, values, strict=True))
    return dict(zip(samples.ids, zip(values, samples.weights.tolist(), strict=True), strict=True))
