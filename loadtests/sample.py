"""Sample: what became of one arrival. A run keeps one as a line of JSON for each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from loadtests.route import Route


class Outcome(StrEnum):
    """The class of a request; each is in one of them.

    `shed` is neither success nor failure: the server said in time that it has none to spare (429, 503). `broken` is a
    reply that is no answer, or a stream that did not end as it ought to.
    """

    OK = "ok"
    SHED = "shed"
    ERROR = "error"
    BROKEN = "broken"
    TIMEOUT = "timeout"
    HANG_UP = "hang_up"
    MISSED = "missed"

    @property
    def is_failure(self) -> bool:
        """The server's fault, and no refusal in order."""
        return self in {Outcome.ERROR, Outcome.BROKEN, Outcome.TIMEOUT, Outcome.HANG_UP}


@dataclass(frozen=True, slots=True)
class Sample:
    """A request; seconds are those of the run.

    Attributes:
        at_s: when it was to start.
        started_s: when it did; None where that was missed.
        first_s: its first text; None where nothing was streamed.
        ended_s: None where it was missed.
        itl_ms: between two pieces of text.
        status: of HTTP, or of the problem that ended a stream.
        is_degraded: answered, but the server named something that it had to leave out.
        detail: of what is not ok.
    """

    number: int
    route: Route
    at_s: float
    outcome: Outcome
    started_s: float | None = None
    first_s: float | None = None
    ended_s: float | None = None
    itl_ms: Sequence[float] = ()
    status: int | None = None
    is_degraded: bool = False
    detail: str = ""

    @property
    def total_ms(self) -> float | None:
        """From the intended start to the end."""
        return None if self.ended_s is None else (self.ended_s - self.at_s) * 1000

    @property
    def ttft_ms(self) -> float | None:
        """From the intended start to the first text."""
        return None if self.first_s is None else (self.first_s - self.at_s) * 1000

    def as_line(self) -> bytes:
        """One line of JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def of_line(cls, line: bytes) -> "Sample":
        """What ``as_line`` wrote."""
        fields = orjson.loads(line)
        fields |= {"route": Route(fields["route"]), "outcome": Outcome(fields["outcome"])}
        return cls(**fields)


def read(path: Path) -> list[Sample]:
    """The samples of a file, in the order in which they ended."""
    with path.open("rb") as lines:
        return [Sample.of_line(line) for line in lines]


def write(path: Path, samples: Iterable[Sample]) -> None:
    """All of them, a line each."""
    with path.open("wb") as out:
        out.writelines(sample.as_line() for sample in samples)
