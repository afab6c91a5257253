"""Rule: which threshold of the confidence is chosen."""

import math
from dataclasses import dataclass

import numpy as np

from service.cli.calibrate.confidences import Confidences
from service.cli.eval.errors import EvalError
from service.cli.eval.samples import Floats

# What a threshold may cost where nobody says.
_ANSWERED = 0.95
# Servers round a confidence to so many parts.
_PARTS = 10_000
_ROUNDING = 1e-9


class RuleError(EvalError):
    """No threshold can be chosen by what was asked for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Of the thresholds that keep both shares, the one of the greatest balanced accuracy; of equal ones the lowest.

    Balanced accuracy is the mean of the share of answerable questions that are answered and the share of the others
    that are left open: Youden's index, Cancer 3 (1950), 32-35, on another scale. Where there are no others it is the
    highest threshold.

    Attributes:
        answered: least share of the answerable questions.
        abstained: least share of the others.
    """

    answered: float
    abstained: float

    @classmethod
    def asked(cls, answered: float | None, abstained: float | None, *, has_open: bool) -> "Rule":
        """By what the command line says.

        Raises:
            RuleError: it says too much or too little, or no share.
        """
        for option, share in (("--answered", answered), ("--abstained", abstained)):
            if share is not None and not 0 <= share <= 1:
                raise RuleError(f"{option} {share:g} is no share: it must be 0 to 1")
        if answered is not None and abstained is not None:
            raise RuleError("--answered and --abstained may contradict each other: give one of them")
        if not has_open and not answered:
            raise RuleError(
                "without questions that should be left open (--unanswerable, --foreign) only --answered can say how "
                "far the threshold may go: --answered 0.95 takes the highest that still answers 95 of a hundred"
            )
        if abstained is not None:
            return cls(0.0, abstained)
        return cls(_ANSWERED if answered is None else answered, 0.0)

    def threshold(self, confidences: Confidences) -> float:
        """The one that these choose; half way between the confidences that it parts, if there are any others.

        Returns:
            0..1; what reaches it is answered.
        """
        answerable, others = confidences.answerable, confidences.open
        cuts = np.append(np.unique(np.concatenate([answerable, others])), np.inf)
        answered = _reaching(answerable, cuts)
        abstained = 1 - _reaching(others, cuts) if len(others) else np.zeros(len(cuts))
        merit = np.round(answered + abstained, 9) if len(others) else np.arange(len(cuts))
        keeps = (answered >= self.answered - _ROUNDING) & (abstained >= self.abstained - _ROUNDING)
        place = int(np.argmax(np.where(keeps, merit, -1)))
        if not len(others):
            return float(cuts[place])
        return _between(cuts[place - 1] if place else 0.0, min(cuts[place], 1.0))


def _reaching(values: Floats, cuts: Floats) -> Floats:
    """The share of the values that each cut lets through."""
    through: Floats = 1 - np.searchsorted(np.sort(values), cuts, side="left") / len(values)
    return through


def _between(low: float, high: float) -> float:
    """Half way, above ``low`` and at most ``high``, in as many digits as a confidence has."""
    return float(min(high, math.ceil((low + high) / 2 * _PARTS - _ROUNDING * _PARTS) / _PARTS))
