"""The nouns of scheduling: a job waits in a lane, a batch is cut from jobs in pieces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Lane(StrEnum):
    """Which queue a job waits in; ``QUERY`` goes first."""

    QUERY = "query"
    BULK = "bulk"


class Reason(StrEnum):
    """Why a batch was formed when it was."""

    DRAINED = "drained"  # the device was free, and this was all that waited
    FULL = "full"  # the budget held no more
    AGED = "aged"  # bulk work had waited as long as it may
    RETRY = "retry"  # half of a batch that did not fit into memory


@dataclass(slots=True, eq=False)
class Job:
    """One call: inputs of one model that are answered together.

    Attributes:
        model: whose forward computes it; a batch has one model.
        key: whose share of the device it counts against.
        lengths: tokens of each input.
        deadline: in the scheduler's clock, seconds; a job not handed out by then never is.
        taken: inputs handed out so far.
        waiting_tokens: tokens of the inputs not handed out.
        is_dead: cancelled, failed or expired: nothing more of it is handed out.
    """

    model: str
    lane: Lane
    key: str
    lengths: Sequence[int]
    deadline: float = math.inf
    taken: int = 0
    waiting_tokens: int = field(init=False)
    is_dead: bool = False

    def __post_init__(self) -> None:
        self.waiting_tokens = sum(self.lengths)


@dataclass(frozen=True, slots=True)
class Piece:
    """Inputs ``first`` to ``last`` of a job, ``last`` not among them."""

    job: Job
    first: int
    last: int

    @property
    def tokens(self) -> int:
        """Tokens of its inputs."""
        return sum(self.job.lengths[self.first : self.last])

    @property
    def size(self) -> int:
        """Number of its inputs."""
        return self.last - self.first


@dataclass(slots=True, eq=False)
class Batch:
    """What one forward computes.

    Attributes:
        tokens: of all its inputs, padding not counted.
        launched_at: in the scheduler's clock, seconds.
    """

    model: str
    lane: Lane
    pieces: Sequence[Piece]
    reason: Reason
    tokens: int = field(init=False)
    launched_at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = sum(piece.tokens for piece in self.pieces)

    @property
    def size(self) -> int:
        """Number of its inputs."""
        return sum(piece.size for piece in self.pieces)
