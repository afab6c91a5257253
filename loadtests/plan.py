"""Plan: all that a driver is told, as a file that its process reads. The key of the server is in its environment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from loadtests.arrivals import Arrival, drawn
from loadtests.route import MIXES, Route
from loadtests.shape import Phase, Shape

KEY_VARIABLE = "QUARRY_KEY"


class Material(BaseModel):
    """What is asked and what is put; arrivals take it in turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    questions: Annotated[Sequence[str], Field(min_length=1)]
    texts: Annotated[Sequence[str], Field(min_length=1)]


class Plan(BaseModel):
    """One run of the driver.

    Attributes:
        mix: whose weights the routes are drawn by; the Locust user of that name is started.
        seed: of the arrivals.
        places: requests that the driver has under way at once.
        late_s: one that would start later than this after its time is missed.
        timeout_s: from the start of a request until it is given up.
        nonce: of this run alone; documents that are put have it, so that they are new to a collection that had others.
        deadline_ms: told to the server with each request that may have one.
        material: a file of ``Material``.
        samples: where a line for every arrival goes.
        summary: where the driver's own figures go.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    collection: str
    phases: Sequence[Phase]
    mix: str
    seed: int
    nonce: str
    places: Annotated[int, Field(ge=1)]
    late_s: float
    timeout_s: float
    deadline_ms: Mapping[Route, int]
    material: Path
    samples: Path
    summary: Path

    @property
    def shape(self) -> Shape:
        """Of the phases."""
        return Shape(tuple(self.phases))

    def arrivals(self) -> Sequence[Arrival]:
        """The same in the driver and in who waits for it."""
        return drawn(self.shape, MIXES[self.mix], self.seed)

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Of a file that ``write`` made."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(self.model_dump_json())


class Summary(BaseModel):
    """What a driver tells of itself.

    Attributes:
        began: second 0 of the run on the machine's monotonic clock.
        cpu_s: processor time while the run went on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    began: float
    cpu_s: float
