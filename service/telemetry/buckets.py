"""Edges of histograms."""

from collections.abc import Iterable

from service.settings import BudgetSettings

SECONDS = (
    0.0005,
    0.001,
    0.002,
    0.004,
    0.008,
    0.015,
    0.03,
    0.06,
    0.125,
    0.25,
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
    15.0,
    30.0,
    60.0,
)
# A cached vector, the fusion of two lists, a small exact search: these would all be in the first of the above.
STAGE_SECONDS = (0.00005, 0.0001, 0.0002, *SECONDS)
TOKENS = (
    8.0,
    16.0,
    32.0,
    64.0,
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16384.0,
    32768.0,
    65536.0,
    131072.0,
)


def budgets_ms(budgets: BudgetSettings) -> dict[str, int]:
    """Milliseconds by stage, of the stages that have a budget and of the ``total``."""
    return {setting.removesuffix("_ms"): given for setting, given in budgets.model_dump(exclude_none=True).items()}


def budgets_s(budgets: BudgetSettings) -> dict[str, float]:
    """The same in seconds."""
    return {stage: milliseconds / 1000 for stage, milliseconds in budgets_ms(budgets).items()}


def with_edges(buckets: Iterable[float], *edges: float | None) -> tuple[float, ...]:
    """The buckets with an edge exactly at each of these, so that a histogram tells how many kept to it."""
    return tuple(sorted({*buckets, *(edge for edge in edges if edge is not None)}))
