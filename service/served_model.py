"""ServedModel: a model as the engine runs it."""

from dataclasses import dataclass

from service.device import Forward
from service.scheduling.capacity import Capacity


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with the width of its rows and its token budget.

    Attributes:
        memory_bytes: most device memory that its forwards took when it was loaded; 0 on a CPU.
        knee_tokens: where its calibration saw throughput level off.
    """

    forward: Forward
    width: int
    capacity: Capacity
    memory_bytes: int = 0
    knee_tokens: int | None = None

    def describe(self) -> dict[str, object]:
        """For operators."""
        cost = self.capacity.cost
        return {
            "batch_tokens": {"query": self.capacity.tokens, "bulk": self.capacity.bulk_tokens},
            "knee_tokens": self.knee_tokens,
            "cost": {"fixed_ms": cost.fixed_s * 1000, "per_token_us": cost.per_token_s * 1e6, "error": cost.error},
            "memory_bytes": self.memory_bytes,
        }
