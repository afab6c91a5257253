"""Untold: budgets on figures that a run will not have; better said before it than after half an hour."""

from collections.abc import Iterator

from loadtests.budgets import Limits
from loadtests.figures import GROWTH, OVER
from loadtests.load_test import Request
from loadtests.reading import Reading


class UntoldError(Exception):
    """A figure that has a budget cannot be told; the message names it and says why."""


def require_told(limits: Limits, request: Request, reading: Reading) -> None:
    """Every limit needs its figure.

    Args:
        reading: of the server, before the run.

    Raises:
        UntoldError: one will have none.
    """
    limited = limits.model_dump(exclude_none=True)
    if untold := [f"{name}: {why}" for name, why in _untold(request, reading) if name in limited]:
        raise UntoldError(f"a budget of {request.profile} cannot be held to anything: {'; '.join(untold)}")


def _untold(request: Request, reading: Reading) -> Iterator[tuple[str, str]]:
    for name, figure in GROWTH.items():
        if figure(reading) is None:
            yield name, "not told by /metrics, which ask for an admin key, and no --pid was given"
    if request.rate is not None:
        for name in ("capacity_per_s", "goodput_of_peak", "found_share"):
            yield name, "--rate leaves the search out"
    if request.profile not in OVER:
        for name in ("goodput_of_peak", "found_share", "recovery_s"):
            yield name, "there is no overload"
