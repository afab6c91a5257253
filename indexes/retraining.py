"""When an index no longer fits its rows."""

from dataclasses import dataclass

_MOST_GROWTH = 3.0
_MOST_IMBALANCE = 1.5
_MOST_RESIDUAL = 1.1
_MOST_DEAD = 0.25


@dataclass(frozen=True, slots=True)
class IndexHealth:
    """What an index is now, beside what it was when it was trained.

    Attributes:
        rows: rows held, dead ones counted.
        dead_rows: those of them that no search returns any more.
        imbalance: of its lists, see ``IvfPqIndex.imbalance``.
        residual: ``IvfPqIndex.residual_of`` rows added since; None when there are none.
        recall: upper bound of the live recall's confidence interval; None while too little was measured.
        target_recall: wanted.
    """

    rows: int
    trained_rows: int
    dead_rows: int
    imbalance: float
    trained_imbalance: float
    residual: float | None
    trained_residual: float
    recall: float | None
    target_recall: float


def rebuild_reason(health: IndexHealth) -> str | None:
    """Why the index should be built anew, with the value and its limit; None when it should not."""
    reasons = (_growth(health), _dead(health), _imbalance(health), _residual(health), _recall(health))
    return next((reason for reason in reasons if reason is not None), None)


def _growth(health: IndexHealth) -> str | None:
    if health.rows <= _MOST_GROWTH * health.trained_rows:
        return None
    return f"{health.rows} rows are more than {_MOST_GROWTH:g} times the {health.trained_rows} it was trained on"


def _dead(health: IndexHealth) -> str | None:
    if health.dead_rows <= _MOST_DEAD * health.rows:
        return None
    return f"{health.dead_rows} of {health.rows} rows are dead, more than {_MOST_DEAD:.0%}"


def _imbalance(health: IndexHealth) -> str | None:
    if health.imbalance <= _MOST_IMBALANCE * health.trained_imbalance:
        return None
    was = f"{_MOST_IMBALANCE:g} times the {health.trained_imbalance:.3g} at training"
    return f"the imbalance of its lists is {health.imbalance:.3g}, more than {was}"


def _residual(health: IndexHealth) -> str | None:
    if health.residual is None or health.residual <= _MOST_RESIDUAL * health.trained_residual:
        return None
    was = f"{_MOST_RESIDUAL:g} times the {health.trained_residual:.3g} at training"
    return f"the residual of newer rows is {health.residual:.3g}, more than {was}"


def _recall(health: IndexHealth) -> str | None:
    if health.recall is None or health.recall >= health.target_recall:
        return None
    return f"the live recall is {health.recall:.4f} at most, below the target of {health.target_recall:g}"
