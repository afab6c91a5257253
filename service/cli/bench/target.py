"""What a measured value should be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A measured value beside what it should be."""

    name: str
    value: float
    limit: float
    is_most: bool

    @property
    def is_met(self) -> bool:
        """On the right side of the limit."""
        return self.value <= self.limit if self.is_most else self.value >= self.limit
