"""Which index to build for some rows and a recall target: trained, measured, and rotated where that pays."""

from dataclasses import replace

from indexes.base import Mask, Metric, Vectors
from indexes.curve import RecallCurve, least_cost_with_better_codes, measure_curve
from indexes.ivf_pq import IvfPqIndex, IvfPqParams

# Codes that need more candidates than this for each hit lose enough for a rotation to be worth its training.
_REFINE_OF_GOOD_CODES = 10
# Training it takes longer than all the rest: it has to be able to save a tenth of a search at least.
_WORTH_TRAINING = 0.9
# Somewhat further from the nearest row than questions are: with MiniLM their cosine with it is 0.64, that of rows as
# they are 0.86, of rows moved by 1.2 times their length 0.56. That much still promised 0.9956 where 1,000 questions to
# 200,000 rows got 0.988; noise goes in every direction, and questions where the rows are not.
_NOISE_OF_QUESTIONS = 1.6


def train_for(vectors: Vectors, metric: Metric, target: float) -> tuple[IvfPqIndex, RecallCurve]:
    """The cheapest index over the rows that reaches the target, and its curve.

    Plain codes come first. Where the target is out of their reach, or takes a large refine that better codes could
    save, a rotation (OPQ) is trained as well and the better of the two kept.

    Args:
        vectors: ``(n, dimension)``, at least ``MIN_ROWS``; at positions 0..n-1 of the index.
        target: recall@10 wanted.

    Raises:
        ValueError: too few rows.
    """
    params = IvfPqParams.for_rows(*vectors.shape)
    plain = _measured(vectors, metric, params, target)
    if not may_gain_by_rotation(*plain):
        return plain
    rotated = _measured(vectors, metric, replace(params, rotated=True), target)
    return rotated if is_better(rotated[1], plain[1]) else plain


def calibrated(
    index: IvfPqIndex, vectors: Vectors, target: float, live: Mask | None = None
) -> tuple[IvfPqIndex, RecallCurve]:
    """The index with the cheapest setting that reaches the target, and the curve that says so.

    Args:
        vectors: ``(n, dimension)``: the rows of the index, by position.
        live: ``(n,)``: which of them a search may return; None is all of them.

    Raises:
        ValueError: the index holds another number of rows, or fewer than two of them are live.
    """
    curve = measure_curve(index, vectors, target, _NOISE_OF_QUESTIONS, live)
    return index.tuned(curve.chosen.nprobe, curve.chosen.refine), curve


def may_gain_by_rotation(index: IvfPqIndex, curve: RecallCurve) -> bool:
    """Plain codes miss the target, or lose enough that better ones could save a tenth of a search."""
    if not curve.meets_target:
        return True
    least = least_cost_with_better_codes(index, curve)
    return curve.chosen.refine > _REFINE_OF_GOOD_CODES and least < _WORTH_TRAINING * curve.chosen.cost


def is_better(one: RecallCurve, other: RecallCurve) -> bool:
    """``one`` reaches its target where ``other`` does not, or is cheaper at it, or nearer to it."""
    if one.meets_target != other.meets_target:
        return one.meets_target
    if one.meets_target:
        return one.chosen.cost < other.chosen.cost
    return one.chosen.recall > other.chosen.recall


def _measured(vectors: Vectors, metric: Metric, params: IvfPqParams, target: float) -> tuple[IvfPqIndex, RecallCurve]:
    return calibrated(IvfPqIndex.train(vectors, metric, params), vectors, target)
