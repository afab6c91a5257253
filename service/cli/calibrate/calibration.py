"""Calibration: a threshold, and what can be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.cli.calibrate.confidences import Confidences
from service.cli.calibrate.held_out import HeldOut
from service.cli.calibrate.rule import Rule, RuleError
from service.cli.calibrate.shares import shares
from service.cli.eval.abstention import CurvePoint, abstention_curve, point_at
from service.cli.eval.bootstrap import Bootstrap, Metric

_CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """What questions choose.

    Attributes:
        on_all: shares at the threshold, of the questions that it was chosen by.
        held_out: of questions that it was not chosen by.
        areas: under the ROC curve, against all questions that should be left open and against those of each kind.
        point: the curve at the threshold.
    """

    rule: Rule
    confidences: Confidences
    threshold: float
    on_all: Sequence[Metric]
    held_out: HeldOut
    areas: Sequence[Metric]
    curve: Sequence[CurvePoint]
    point: CurvePoint

    @classmethod
    def by(cls, rule: Rule, confidences: Confidences, bootstrap: Bootstrap) -> "Calibration":
        """Choose.

        Raises:
            RuleError: nothing would be answered any more.
        """
        threshold = rule.threshold(confidences)
        answerable, unanswerable, foreign = confidences.answerable, confidences.unanswerable, confidences.foreign
        point = point_at(threshold, answerable, unanswerable, foreign)
        if not point.answered:
            raise RuleError(f"--abstained {rule.abstained:g} would leave every answerable question open")
        return cls(
            rule,
            confidences,
            threshold,
            shares(confidences, threshold),
            HeldOut.by(rule, confidences, bootstrap.seed),
            [
                bootstrap.auroc("auroc", answerable, confidences.open),
                bootstrap.auroc("auroc_unanswerable", answerable, unanswerable),
                bootstrap.auroc("auroc_foreign", answerable, foreign),
            ],
            abstention_curve(answerable, unanswerable, foreign),
            point,
        )

    @property
    def tells_apart(self) -> bool:
        """The confidence of answerable questions is higher than chance would have it, as far as that was measured."""
        low = self.areas[0].low
        return low is None or low > _CHANCE
