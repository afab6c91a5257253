"""When a faster form of a model is still the same model."""

from collections.abc import Sequence

import numpy as np

from models.base import Vectors
from models.launching import Launcher, Row

# Lowest cosine to the float32 reference at which a faster form of the model is still the same model.
PARITY = 0.999
# Texts of several lengths on which a form is compared with the reference.
PROBES = (
    "How do I rotate the keys?",
    "A tombstone marks a row as deleted until the segment that holds it is rebuilt without it.",
    " ".join(["Latency budgets are checked under load, stage by stage, and a miss fails the release."] * 6),
)


def probed(launcher: Launcher[Row], probes: Sequence[Row]) -> Vectors:
    """What ``launcher`` makes of each probe alone, then of all in one batch: ``(2 * len(probes), width)``."""
    batches = [*([probe] for probe in probes), probes]
    return np.concatenate([launcher.launch(batch).result() for batch in batches])


def lowest_cosine(vectors: Vectors, expected: Vectors) -> float:
    """The lowest over rows of unit vectors, ``(n, width)`` each; 0 where any is not a number."""
    lowest = float(np.min(np.sum(vectors * expected, axis=1)))
    return lowest if np.isfinite(lowest) else 0.0
