"""How near the served vectors are to those of the library the model was made with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.base import TextKind
from models.reference import reference_vectors
from service.cli.bench.embed.rig import Rig
from service.scheduling.job import Lane

_TEXTS = 1000


@dataclass(frozen=True, slots=True)
class Parity:
    """Cosines to SentenceTransformer.encode in float32."""

    texts: int
    lowest: float
    mean: float


async def parity(rig: Rig, model: str, texts: Sequence[str]) -> Parity:
    """Of up to a thousand texts, through the engine."""
    some = list(texts[:_TEXTS])
    embedded = await rig.batcher.embed(some, TextKind.DOCUMENT, Lane.BULK)
    expected: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []

    # On the device thread too: there is one OpenMP pool.
    await rig.bare(lambda _: expected.append(reference_vectors(model, some)))
    cosines = np.sum(embedded.vectors * expected[0], axis=1)
    return Parity(len(some), round(float(cosines.min()), 6), round(float(cosines.mean()), 6))
