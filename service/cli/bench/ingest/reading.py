"""Reading: what a server's counters say at one moment."""

from dataclasses import dataclass
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters since the server's start.

    Attributes:
        busy_s: seconds with a forward on the device.
        tokens: of inputs that were computed.
        computed_tokens: with padding.
        documents: written, whatever became of them.
        batches: forwards of the bulk lane by the reason they were formed for.
    """

    busy_s: float
    tokens: float
    computed_tokens: float
    documents: float
    batches: dict[str, float]

    @classmethod
    def of(cls, http: httpx.Client) -> Self:
        """What ``GET /metrics`` says now.

        Raises:
            httpx.HTTPError: it says nothing.
        """
        text = http.get("/metrics").raise_for_status().text
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]

        def total(name: str) -> float:
            return sum(sample.value for sample in samples if sample.name == name)

        bulk = [each for each in samples if each.name == "quarry_batches_total" and each.labels["lane"] == "bulk"]
        return cls(
            busy_s=total("quarry_device_busy_seconds_total"),
            tokens=total("quarry_tokens_total"),
            computed_tokens=total("quarry_computed_tokens_total"),
            documents=total("quarry_documents_total"),
            batches={each.labels["reason"]: each.value for each in bulk},
        )
