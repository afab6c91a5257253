"""Verdict: whether a load test kept its budgets, as one line."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A figure beside its limit; without a value nothing was measured, and that does not meet it."""

    name: str
    value: float | None
    limit: float
    is_most: bool

    @property
    def met(self) -> bool:
        """On the right side of the limit."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.is_most else self.value >= self.limit

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} {value} ({'at most' if self.is_most else 'at least'} {self.limit:g})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of a profile."""

    profile: str
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        """None of them is broken."""
        return all(check.met for check in self.checks)

    def __str__(self) -> str:
        broken = [str(check) for check in self.checks if not check.met]
        if broken:
            return f"FAIL {self.profile}: {'; '.join(broken)}"
        return f"PASS {self.profile}: {len(self.checks)} budgets kept"
