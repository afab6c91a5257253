"""Call: what a caller asks of the device, from its text to its rows."""

import asyncio
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass

from models.base import Vectors
from service.budget import Deadline
from service.device import DeviceJob
from service.scheduling.job import Lane, Piece
from service.spending import Spent, uncounted

# Characters of a token, on the low side for European languages: admission should rather refuse late than early.
_CHARACTERS_PER_TOKEN = 4
_SPECIAL_TOKENS = 2


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears, on the event loop, of what an engine meets.

    Attributes:
        lost: no forward will ever end well again.
        spent: tokens of a call that were computed, also where nobody waits for them any more.
    """

    lost: Callable[[], None] = lambda: None
    spent: Spent = uncounted


def estimated_tokens(characters: int, max_tokens: int) -> int:
    """Tokens that a text of so many characters will come to, before it is tokenized."""
    return min(max_tokens, _SPECIAL_TOKENS + characters // _CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Work:
    """A call before it is tokenized.

    Attributes:
        count: number of its texts.
        characters: of all of them.
        tokens: estimate for all of them.
        tokenize: inputs of a slice of its texts; called from any thread.
        caller: whose share of the device it counts against.
    """

    model: str
    lane: Lane
    count: int
    characters: int
    tokens: int
    tokenize: Callable[[slice], Sequence[Sized]]
    caller: str = ""
    deadline: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows with what they cost.

    Attributes:
        rows: ``(inputs, width)`` float32.
        tokens: of the inputs, padding not counted.
        queue_s: from the call to the launch of its last batch, tokenizing included.
        tokenize_s: of that, for its texts to become tokens.
        forward_s: the forwards that held its inputs.
    """

    rows: Vectors
    tokens: int
    queue_s: float
    forward_s: float
    tokenize_s: float


@dataclass(slots=True, eq=False, kw_only=True)
class Call(DeviceJob):
    """A job, its rows so far, and the future that its caller waits for."""

    rows: Vectors
    answer: "asyncio.Future[None]"
    limit: Deadline | None
    missing: int
    launched_at: float = 0.0
    forward_s: float = 0.0

    def fill(self, piece: Piece, rows: Vectors) -> None:
        """Take over the rows of a piece; the last one answers the caller."""
        self.rows[piece.first : piece.last] = rows
        self.missing -= piece.size
        if not self.missing and not self.answer.done():
            self.answer.set_result(None)

    def fail(self, error: Exception) -> None:
        """Answer with an error, once."""
        if not self.answer.done():
            self.answer.set_exception(error)


def call_of(piece: Piece) -> Call:
    """The call that a piece of a batch belongs to."""
    assert isinstance(piece.job, Call)  # noqa: S101  no other kind is submitted
    return piece.job
