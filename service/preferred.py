"""What users of a collection may change about it without making it another."""

from dataclasses import dataclass
from typing import Self

from indexes.queried_catalog import QueriedCatalog

LLM = "llm"
MIN_CONFIDENCE = "min_confidence"


@dataclass(frozen=True, slots=True)
class Preferred:
    """Of one collection; None where it takes the server's default.

    Attributes:
        llm: the generator that answers questions which name none.
        min_confidence: below which quotes are no answer, 0..1.
    """

    llm: str | None = None
    min_confidence: float | None = None

    @classmethod
    def of(cls, catalog: QueriedCatalog, name: str) -> Self:
        """As it is kept under the name."""
        confidence = catalog.preference(name, MIN_CONFIDENCE)
        return cls(catalog.preference(name, LLM), None if confidence is None else float(confidence))
