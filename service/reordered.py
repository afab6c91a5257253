"""Reordered: the hits of a search as a cross-encoder left them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from indexes.base import Hit, SearchParams
from indexes.searched import DroppedChunk, Searched

# Why hits were left in the order of the search: what the request's deadline or ``budgets.rerank_ms`` left was too
# little by the fitted costs, the device took no more on, it was late all the same, or its forward failed.
Left = Literal["deadline", "budget", "overloaded", "late", "failed"]


@dataclass(frozen=True, slots=True)
class Reordered:
    """Hits, those that were scored before the others.

    Attributes:
        model: that scored them.
        hits: the scored ones by ``scores["rerank"]``, best first; then the others in the order of the search.
        places: of each of them in the order of the search, from 0.
        wanted: hits that were to be scored.
        scored: hits that were.
        left: why these are fewer; None where they are not.
    """

    model: str
    hits: Sequence[Hit]
    places: Sequence[int]
    wanted: int
    scored: int
    left: Left | None

    @classmethod
    def of(
        cls, model: str, hits: Sequence[Hit], scores: Sequence[float], wanted: int, left: Left | None
    ) -> "Reordered":
        """The ``hits`` of a search, the first of which were given ``scores``; equal ones keep their order."""
        best = sorted(range(len(scores)), key=lambda place: -scores[place])
        ranked = [replace(hits[place], scores={**hits[place].scores, "rerank": scores[place]}) for place in best]
        rest = range(len(scores), len(hits))
        return cls(model, [*ranked, *hits[len(scores) :]], [*best, *rest], wanted, len(scores), left)

    @property
    def is_lost(self) -> bool:
        """There was something to score, and nothing was."""
        return bool(self.wanted) and not self.scored

    def kept(self, searched: Searched, params: SearchParams) -> Searched:
        """The search as if it had found its ``top_k`` hits in this order.

        Args:
            searched: what the hits are of.
        """
        lost = zip(self.hits[params.top_k :], self.places[params.top_k :], strict=True)
        dropped = [
            DroppedChunk(hit.chunk.id, hit.score, "reranked" if place < params.top_k else "outranked")
            for hit, place in lost
        ]
        dropped = [*dropped, *searched.dropped] if params.explain else []
        return replace(searched, hits=self.hits[: params.top_k], dropped=dropped)
