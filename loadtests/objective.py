"""Objective: what a request must keep to count as good."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from loadtests.route import Route
from loadtests.sample import Outcome, Sample

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Objective(BaseModel):
    """Milliseconds from the intended start.

    Attributes:
        ttft_ms: to the first text of a stream; None where nothing is streamed.
        total_ms: to the end of the reply.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    total_ms: Milliseconds
    ttft_ms: Milliseconds | None = None

    def is_met(self, sample: Sample) -> bool:
        """Whether a request was answered, whole and in time."""
        if sample.outcome is not Outcome.OK or sample.total_ms is None or sample.total_ms > self.total_ms:
            return False
        # A stream that says that there is no answer has no text, and is done.
        return self.ttft_ms is None or sample.ttft_ms is None or sample.ttft_ms <= self.ttft_ms


Objectives = Mapping[Route, Objective]
