"""A collection as an operator sees it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from indexes.lexical_state import LexicalState
from indexes.placement import IndexMemory, Placement
from indexes.recall import RecallEstimate
from indexes.upkeep import Upkeep
from indexes.view import View
from indexes.work import Work

_SENTENCE_BYTES = 4 + 8


@dataclass(frozen=True, slots=True)
class SavedState:
    """The snapshot that the next start takes up.

    Attributes:
        age_s: since it was written, in seconds.
    """

    name: str
    age_s: float


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What the store has.

    Attributes:
        sentences: that have vectors.
        sentence_chunks: chunks that they are of.
    """

    documents: int
    chunks: int
    sentences: int
    sentence_chunks: int

    def sentence_bytes(self, dimension: int) -> int:
        """What their vectors and spans take in the store's file: a byte for each component, a scale, two offsets."""
        return self.sentences * (dimension + _SENTENCE_BYTES)


@dataclass(frozen=True, slots=True)
class CollectionState:
    """A collection as an operator sees it.

    Attributes:
        index_version: counts the changes.
        seal_rows: size of the tail at which it is sealed.
        segments: the sealed rows, if there are some, and the tail.
        dead_rows: held by the index, and no longer in the collection.
        bytes: memory of the rows and of the index over them.
        sentences: in the store, with vectors.
        sentence_bytes: of the disk that these take.
        recall: of live searches, measured on a sample.
        snapshot: of the sealed rows; None where there is none.
        working_on: what is being built or verified.
        lexical: the index of words.
        trouble: why something that is due is not done, or was built again.
    """

    documents: int
    chunks: int
    index_version: int
    seal_rows: int
    segments: Sequence[Mapping[str, object]]
    dead_rows: int
    bytes: int
    sentences: int
    sentence_bytes: int
    recall: RecallEstimate
    snapshot: SavedState | None
    working_on: Work | None
    trouble: Sequence[str]
    lexical: LexicalState | None = None


def state_of(
    view: View, upkeep: Upkeep, counts: StoredCounts, saved: tuple[str, float] | None, working_on: Work | None
) -> CollectionState:
    """The state of a collection whose snapshot has a name and a time."""
    live_sealed = view.rows.live_before(view.sealed_rows) if view.sealed else 0
    live_tail = view.rows.live - live_sealed
    return CollectionState(
        documents=counts.documents,
        chunks=counts.chunks,
        index_version=view.version,
        seal_rows=upkeep.seal_rows,
        segments=[*_sealed_state(view, upkeep.placement, live_sealed), _tail_state(view, upkeep.seal_rows, live_tail)],
        dead_rows=view.rows.dead,
        bytes=host_memory(view).total,
        sentences=counts.sentences,
        sentence_bytes=counts.sentence_bytes(view.rows.dimension),
        recall=upkeep.shadow.estimate,
        snapshot=saved and SavedState(saved[0], max(0.0, round(time.time() - saved[1], 1))),
        working_on=working_on,
        trouble=upkeep.trouble,
    )


def host_memory(view: View) -> IndexMemory:
    """What a view takes on the host, wherever it is searched."""
    sealed = view.sealed
    codes = 0 if sealed is None else round(sealed.index.size * sealed.index.bytes_per_vector)
    return IndexMemory(view.rows.bytes, codes)


def _sealed_state(view: View, placement: Placement, live: int) -> list[Mapping[str, object]]:
    if view.sealed is None:
        return []
    index, curve = view.sealed.index, view.sealed.curve
    state = {
        "tier": f"sealed: IVF-PQ with exact refine over {index.size} rows",
        "index": "ivf_pq",
        "rows": index.size,
        "live_rows": live,
        **asdict(index.params),
        "bytes_per_vector": round(index.bytes_per_vector, 1),
        "expected_recall": curve.chosen.recall,
        "target_recall": curve.target,
        "curve": {"chosen": asdict(curve.chosen), "points": len(curve.points), "queries": curve.queries},
        "placement": asdict(placement),
    }
    return [state]


def _tail_state(view: View, seal_rows: int, live: int) -> Mapping[str, object]:
    tier = f"growing: exact below {seal_rows} rows"
    if view.tail_rows >= seal_rows:
        tier = "full: exact until it is sealed"
    return {"tier": tier, "index": "flat", "rows": view.tail_rows, "live_rows": live}
