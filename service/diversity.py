"""Diversity: one document should not fill the hits with its neighbouring chunks."""

from collections.abc import Sequence
from dataclasses import replace

from indexes.base import Hit
from indexes.searched import DroppedChunk

# Hits fetched for each one wanted, so that there is something to put in a repeated document's place.
OVERFETCH = 3


def diversified(hits: Sequence[Hit], top_k: int, penalty: float) -> list[Hit]:
    """The ``top_k`` best hits when every chunk of a document but its best counts as if its cosine were lower.

    A second chunk that is clearly better than other documents' best still comes before them; ``scores`` keep what the
    retrievers gave.

    Args:
        hits: best first.
        penalty: cosine that such a chunk loses. What its score loses for that goes by the metric and the lengths of the
            vectors: 0.1 would be nothing among inner products of hundreds, and the whole list among small distances.
    """
    seen: set[str] = set()
    scored: list[Hit] = []
    for hit in hits:
        document = hit.chunk.document_id
        lost = penalty * hit.score_per_cosine if document in seen else 0.0
        scored.append(replace(hit, score=hit.score - lost) if lost else hit)
        seen.add(document)
    return sorted(scored, key=lambda hit: -hit.score)[:top_k]


def left_out(hits: Sequence[Hit], kept: Sequence[Hit]) -> list[DroppedChunk]:
    """The ``hits`` that are not among the ``kept`` ones; ``repeated`` are those that only the penalty left out."""
    ids = {hit.chunk.id for hit in kept}
    return [
        DroppedChunk(hit.chunk.id, hit.score, "repeated" if place < len(kept) else "outranked")
        for place, hit in enumerate(hits)
        if hit.chunk.id not in ids
    ]
