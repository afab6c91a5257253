"""Amount: bytes, and how well they are known."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    """What something takes.

    Attributes:
        is_exact: counted, not estimated.
        why: how it was come by, for people.
    """

    bytes: int
    is_exact: bool
    why: str
