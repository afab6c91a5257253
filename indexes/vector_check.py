"""What a vector must be to be stored or searched for."""

import numpy as np

from indexes.base import Metric, Vectors
from indexes.errors import InvalidVectorError
from indexes.spec import CollectionSpec

# Vectors that are so near to unit vectors are kept as they came.
_UNIT_TOLERANCE = 1e-6
# Squared, it leaves room in a float32 for a distance of twice that and for rounding.
_LONGEST = 1e18


def checked(vectors: Vectors, metric: Metric, noun: str) -> Vectors:
    """``(n, dimension)`` of any length, as they are compared: for cosine they become unit vectors.

    Args:
        noun: what an error calls one of them.

    Raises:
        InvalidVectorError: one has a component that is not finite, is all zeros, or is too long for finite scores.
    """
    if not np.isfinite(vectors).all():
        raise InvalidVectorError(f"a {noun} has components that are not finite")
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)  # squares overflow early in float32
    if not norms.all():
        raise InvalidVectorError(f"a {noun} is all zeros, which is near to nothing")
    longest = float(norms.max(initial=0))
    if metric != "cosine" and longest > _LONGEST:
        raise InvalidVectorError(f"a {noun} has the norm {longest:.3g}; scores are finite up to {_LONGEST:g}")
    if metric == "cosine" and np.abs(norms - 1).max(initial=0) > _UNIT_TOLERANCE:
        vectors = vectors / norms
    return np.ascontiguousarray(vectors, dtype=np.float32)


def checked_query(query: Vectors, spec: CollectionSpec) -> Vectors:
    """A ``(dimension,)`` query as ``checked`` has it.

    Raises:
        InvalidVectorError: it has another shape, or ``checked`` refuses it.
    """
    if query.shape != (spec.dimension,):
        raise InvalidVectorError(f"the query has the shape {query.shape}, not ({spec.dimension},)")
    vector: Vectors = checked(query[None], spec.metric, "query")[0]
    return vector
