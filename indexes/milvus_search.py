"""One search of a collection on Milvus: its candidates, held to what is known of them and scored by their vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from indexes.base import Mask, Positions, RowIds, Scores, SearchParams, Vectors
from indexes.exact import cosines_at, per_cosine_at, scores_at
from indexes.filters import Filter, joined, matches
from indexes.finding import Finding
from indexes.generation import NO_ROWS
from indexes.lexical_state import Absence
from indexes.milvus_filter import expression
from indexes.milvus_index import MilvusIndex
from indexes.nearest import NO_OMISSIONS, NO_SCORES, SHOWN_DROPPED, Dropped, Found, Omissions
from indexes.recheck import Recheck
from indexes.spec import CollectionSpec
from indexes.store_snapshot import StoredChunk

# Words are looked for by nobody here: see decision 20.
WITHOUT_WORDS: Absence = "off"

# How many times as many candidates are asked for where too few were confirmed.
_MORE = 4

Confirmed = dict[int, StoredChunk]
Near: TypeAlias = Callable[[Vectors, int, str, SearchParams], Sequence[int]]
"""``MilvusRows.candidates``."""


class Known(Protocol):
    """What is known of candidates: a ``Snapshot`` of the store, or what Milvus gave with them."""

    def chunks(self, rows: Sequence[int], *, with_metadata: bool = False) -> dict[int, StoredChunk]:
        """The chunks of ``rows`` that exist, by row."""

    def metadata_of(self, document_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Metadata of those of the documents that exist, by id."""

    def vectors(self, rows: Sequence[int], dimension: int) -> Vectors:
        """``(len(rows), dimension)``: the vectors of rows that exist."""


@dataclass(frozen=True, slots=True)
class MilvusSearch:
    """One query.

    Args:
        near: gives candidates.
        known: of these; a snapshot's rows Milvus has, and keeps until the search is done.
        query: ``(dimension,)``.
        recheck: of the same parameters.
    """

    near: Near
    known: Known
    index: MilvusIndex
    spec: CollectionSpec
    query: Vectors
    params: SearchParams
    recheck: Recheck

    def found(self) -> tuple[Finding, Confirmed]:
        """What it comes to, and the texts of all rows that it names."""
        confirmed = self._confirmed(self.params.admitted)
        for boost in self.params.boosts:
            confirmed |= self._confirmed(joined(self.params.admitted, boost.filter))
        rows = np.array(sorted(confirmed), dtype=np.int64)
        found = self._ordered(rows, self._weights(rows.tolist(), confirmed))
        asked = replace(self.params, hybrid=None)
        return Finding(found, found, asked, without_lexical=WITHOUT_WORDS if self.params.hybrid else None), confirmed

    def _confirmed(self, filter: Filter | None) -> Confirmed:
        """Candidates that the store has and lets through; more are asked for while they are too few."""
        condition = expression(filter) if filter else None
        limit = self.index.candidates(self.params)
        while True:
            text = condition.text if condition else ""
            rows = self.near(self.query, limit, text, self.params)
            recheck = Recheck(self.params)
            confirmed = recheck.confirmed(self.known, rows)
            is_all = len(rows) < limit or limit == self.index.most
            if is_all or len(confirmed) >= min(limit, self.params.top_k):
                break
            limit = min(self.index.most, _MORE * limit)
        if condition is None or condition.is_exact:
            # What the store does not have at its version may have come since, or be about to be deleted.
            self.recheck.failed.update({cause: recheck.failed[cause] for cause in ("required", "filter")})
        return confirmed

    def _ordered(self, rows: RowIds, weights: Scores) -> Found:
        vectors = self.known.vectors(rows.tolist(), self.spec.dimension)
        places = np.arange(len(rows), dtype=np.int64)
        scores = scores_at(vectors, self.query, places, self.spec.metric)
        cosines = scores if self.spec.metric == "cosine" else cosines_at(vectors, self.query, places)
        per_cosine = per_cosine_at(vectors, self.query, places, self.spec.metric)
        boosted = scores + weights * per_cosine if len(weights) else scores
        near = np.ones(len(rows), dtype=bool)
        if self.params.score_threshold is not None:
            near = cosines >= self.params.score_threshold
        order = np.lexsort((rows, -boosted))
        kept = order[near[order]][: self.params.top_k]
        return Found(
            rows=rows[kept] if len(rows) else NO_ROWS,
            scores=boosted[kept],
            cosines=cosines[kept],
            per_cosine=per_cosine[kept],
            plan=None,
            sealed_rows=0,
            tail_rows=0,
            omissions=self._omissions(rows, boosted, near, order, kept),
            weights=weights[kept] if len(weights) else NO_SCORES,
        )

    def _omissions(self, rows: RowIds, scores: Scores, near: Mask, order: Positions, kept: Positions) -> Omissions:
        if not self.params.explains_candidates:
            return NO_OMISSIONS
        lost = order[~np.isin(order, kept)][:SHOWN_DROPPED]
        return Omissions(
            [
                Dropped(int(rows[place]), float(scores[place]), "outranked" if near[place] else "threshold")
                for place in lost.tolist()
            ]
        )

    def _weights(self, rows: Sequence[int], confirmed: Mapping[int, StoredChunk]) -> Scores:
        """``(n,)``: the greatest weight that applies to each row; empty without boosts."""
        if not self.params.boosts:
            return NO_SCORES
        documents = sorted({chunk.chunk.document_id for chunk in confirmed.values()})
        metadata = self.known.metadata_of(documents)
        weights = {
            id_: max([boost.weight for boost in self.params.boosts if matches(boost.filter, held)], default=0.0)
            for id_, held in metadata.items()
        }
        return np.array([weights[confirmed[row].chunk.document_id] for row in rows], dtype=np.float32)
