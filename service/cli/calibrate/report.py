"""Report: what a calibration came to, and what was done with it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from service.cli.calibrate.calibration import Calibration
from service.cli.calibrate.confidences import KINDS
from service.cli.calibrate.held_out import FOLDS
from service.cli.calibrate.questions import Questions
from service.cli.calibrate.served_collection import is_filtered
from service.cli.eval.bootstrap import CONFIDENCE, Bootstrap, Metric

_MANY_QUESTIONS = 100
_SETTINGS = ("name", "embedding_model", "language", "chunking", "documents", "chunks", "index_version")


@dataclass(frozen=True, slots=True)
class Report:
    """Of one collection.

    Attributes:
        collection: as the server described it before.
        is_set: the threshold is the collection's now.
    """

    collection: dict[str, Any]
    questions: Questions
    calibration: Calibration
    bootstrap: Bootstrap
    is_set: bool

    @property
    def counts(self) -> dict[str, int]:
        """Questions by kind."""
        return {kind: len(self.calibration.confidences.of_kind(kind)) for kind in KINDS}

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures should know."""
        found = []
        if self.questions.repeated:
            found.append(f"{self.questions.repeated} questions are there twice and were asked once")
        if self.questions.contradictory:
            count, first = len(self.questions.contradictory), self.questions.contradictory[0]
            found.append(f"{count} questions should be answered and left open, and were not asked: {first!r}")
        for kind, count in self.counts.items():
            if 0 < count < _MANY_QUESTIONS:
                found.append(f"{count} {kind} questions are few, {_MANY_QUESTIONS} or more tell better")
        if not len(self.calibration.confidences.open):
            found.append("without questions that should be left open nobody knows how many of them are")
        if is_filtered(self.collection):
            found.append("the key has a filter, so this is of the part of the collection that it sees")
        return found

    def as_json(self) -> dict[str, Any]:
        """One object."""
        calibration = self.calibration
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"quarry": version("quarry")},
            "collection": {name: self.collection[name] for name in _SETTINGS},
            "questions": self.counts,
            "rule": asdict(calibration.rule),
            "threshold": calibration.threshold,
            "previous": self.collection["min_confidence"],
            "set": self.is_set,
            "on_all": _metrics(calibration.on_all),
            "held_out": {
                "folds": FOLDS,
                "thresholds": calibration.held_out.thresholds,
                **_metrics(calibration.held_out.shares),
            },
            "auroc": _metrics(calibration.areas),
            "confidence": CONFIDENCE,
            "seed": self.bootstrap.seed,
            "resamples": self.bootstrap.resamples,
            "curve": [asdict(each) for each in calibration.curve],
            "remarks": self.remarks,
        }


def _metrics(metrics: Sequence[Metric]) -> dict[str, dict[str, Any]]:
    return {each.name: {name: value for name, value in asdict(each).items() if name != "name"} for each in metrics}
