"""When a faster form of a model is still the same model."""

import numpy as np

from models.base import Vectors

# Lowest cosine to the float32 reference at which a faster form of the model is still the same model.
PARITY = 0.999
# Inputs of several lengths on which a form is compared with the reference, each alone and all in one batch.
PROBES = (
    "How do I rotate the keys?",
    "A tombstone marks a row as deleted until the segment that holds it is rebuilt without it.",
    " ".join(["Latency budgets are checked under load, stage by stage, and a miss fails the release."] * 6),
)


def lowest_cosine(vectors: Vectors, expected: Vectors) -> float:
    """The lowest over rows of unit vectors, ``(n, width)`` each; 0 where any is not a number."""
    lowest = float(np.min(np.sum(vectors * expected, axis=1)))
    return lowest if np.isfinite(lowest) else 0.0
