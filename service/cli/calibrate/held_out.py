"""Held out: what a rule comes to on questions that the threshold was not chosen by.

Every question is judged by the threshold that the other folds choose, so that the shares are of questions that had no
say: M. Stone, Cross-validatory choice and assessment of statistical predictions (J. R. Stat. Soc. B 36, 1974).
"""

from dataclasses import dataclass

import numpy as np

from service.cli.calibrate.confidences import KINDS, Confidences
from service.cli.calibrate.rule import Rule
from service.cli.calibrate.shares import shares
from service.cli.eval.bootstrap import Metric

FOLDS = 10


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Shares of all questions, and the thresholds that the folds were judged by."""

    shares: tuple[Metric, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def by(cls, rule: Rule, confidences: Confidences, seed: int) -> "HeldOut":
        """Each kind is shared out to the folds for itself, so that none lacks one."""
        rng = np.random.default_rng(seed)
        folds = {kind: rng.permutation(np.arange(len(confidences.of_kind(kind))) % FOLDS) for kind in KINDS}

        def without(fold: int) -> Confidences:
            return confidences.mapped(lambda kind, values: values[folds[kind] != fold])

        thresholds = tuple(rule.threshold(without(fold)) for fold in range(FOLDS))
        over = confidences.mapped(lambda kind, values: values - np.array(thresholds)[folds[kind]])
        return cls(shares(over, 0.0), thresholds)
