"""What a search comes to: hits with their texts, and how they were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from indexes.base import Hit, SearchParams
from indexes.finding import Finding
from indexes.nearest import Found
from indexes.plan import Plan
from indexes.recheck import Cause
from indexes.store_snapshot import StoredChunk


@dataclass(frozen=True, slots=True)
class DroppedChunk:
    """A candidate that the search might have returned, by its chunk."""

    chunk: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Searched:
    """Hits, and how they were found.

    Under a ``required`` filter nothing here tells how much it hides: plan and numbers are None, and no candidate is
    named.

    Attributes:
        version: of the collection that was searched.
        plan: how the sealed rows were searched; None where there are none.
        sealed_rows: rows that IVF-PQ covers.
        tail_rows: rows that were searched exactly.
        dropped: the best candidates that are no hits, if the search asked to be explained.
        deleted: candidates that were deleted, likewise.
        filtered: candidates of documents that fail the filter, likewise.
        boost_s: seconds that the searches of boosts took, beside the plain one.
        failed: rows that the index gave and the store did not confirm, by cause; none of them is in here.
        lexical_s: seconds that the search for words took, beside the one by vectors.
        fusion_s: seconds that making one list of both took.
        without_lexical: why words were not looked for although they were asked for; None where they were.
    """

    hits: Sequence[Hit]
    version: int
    plan: Plan | None
    sealed_rows: int | None
    tail_rows: int | None
    dropped: Sequence[DroppedChunk] = ()
    deleted: int | None = 0
    filtered: int | None = 0
    boost_s: float = 0.0
    failed: Mapping[Cause, int] = field(default_factory=dict)
    lexical_s: float = 0.0
    fusion_s: float = 0.0
    without_lexical: str | None = None

    @classmethod
    def of(
        cls, finding: Finding, confirmed: Mapping[int, StoredChunk], version: int, params: SearchParams
    ) -> "Searched":
        """Those of the found rows that are confirmed."""
        found = finding.found
        hits = [_hit(found, place, confirmed[row]) for place, row in enumerate(found.rows.tolist()) if row in confirmed]
        omissions, tells = found.omissions, params.required is None
        return cls(
            hits=hits,
            version=version,
            plan=found.plan if tells else None,
            sealed_rows=found.sealed_rows if tells else None,
            tail_rows=found.tail_rows if tells else None,
            dropped=[
                DroppedChunk(confirmed[lost.row].chunk.id, lost.score, lost.reason)
                for lost in omissions.dropped
                if lost.row in confirmed
            ],
            deleted=omissions.deleted if tells else None,
            filtered=omissions.filtered if tells else None,
            boost_s=finding.boost_s,
            lexical_s=finding.lexical_s,
            fusion_s=finding.fusion_s,
            without_lexical=finding.without_lexical,
        )


def _hit(found: Found, place: int, stored: StoredChunk) -> Hit:
    scores = {"vector": float(found.cosines[place])}
    if len(found.lexical):
        scores["lexical"] = float(found.lexical[place])
    if len(found.weights):
        scores["boost"] = float(found.weights[place])
    score, per_cosine = float(found.scores[place]), float(found.per_cosine[place])
    return Hit(stored.chunk, stored.title, stored.url, score, scores, per_cosine, int(found.rows[place]))
