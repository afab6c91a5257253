"""Feedback: what a first list of words and vectors has at its top tells what the question is about.

The query is moved a little towards it, and the list is put in order once more. J. Rocchio, Relevance Feedback in
Information Retrieval (1971); with vectors, H. Li et al., Pseudo Relevance Feedback with Deep Language Models and Dense
Retrievers (2022).
"""

import numpy as np

from indexes.base import Vectors

# Rows that the query is moved towards, and how far, the query itself being 1. Measured, and flat around this: see
# docs/decisions/0019-looking-twice.md.
ROWS, SHARE = 3, 0.2
_TINY = np.finfo(np.float32).tiny


def fed_back(query: Vectors, best: Vectors) -> Vectors:
    """``(dimension,)``, of unit length: the unit query and ``SHARE`` of the mean of the unit rows.

    Args:
        query: ``(dimension,)`` of any length.
        best: ``(n, dimension)``, at least one row.
    """
    return _unit(_unit(query) + np.float32(SHARE) * _unit(best).mean(axis=0))


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(lengths, _TINY)).astype(np.float32)
    return unit
