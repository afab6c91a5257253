"""Shares: what a threshold answers and leaves open, with intervals."""

from indexes.recall import wilson_interval
from service.cli.calibrate.confidences import Confidences
from service.cli.eval.bootstrap import Metric
from service.cli.eval.samples import Floats


def shares(confidences: Confidences, threshold: float) -> tuple[Metric, ...]:
    """``answered``, ``abstained`` and ``abstained_foreign``, as ``quarry eval`` has them.

    Their intervals are Wilson's: those of a bootstrap have no width where all questions, or none, are answered.
    """
    return (
        _share("answered", confidences.answerable, threshold, is_reached=True),
        _share("abstained", confidences.unanswerable, threshold, is_reached=False),
        _share("abstained_foreign", confidences.foreign, threshold, is_reached=False),
    )


def _share(name: str, values: Floats, threshold: float, *, is_reached: bool) -> Metric:
    if not len(values):
        return Metric(name, None, None, None, 0)
    count = int(((values >= threshold) == is_reached).sum())
    return Metric(name, count / len(values), *wilson_interval(count, len(values)), len(values))
