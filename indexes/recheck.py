"""Rows that an index claims, held to the store before their text goes anywhere.

Bitmaps and indexes are derived and could be wrong, and a fault of one must not show a document to somebody who may not
see it. So the text is read together with the metadata of its document, and these are held to ``filters.matches``, the
slow exact rule. What the store does not confirm is left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import orjson

from indexes.base import SearchParams
from indexes.filters import matches
from indexes.store_snapshot import Snapshot, StoredChunk

# missing: the store has no such row at the version of the search. required, filter: its document fails that filter.
# These three are faults of an index. deleted: its document went while the search ran, or after it.
Cause = Literal["missing", "required", "filter", "deleted"]
FAULTS: frozenset[Cause] = frozenset({"missing", "required", "filter"})


class Chunks(Protocol):
    """What rows are held to: a ``Snapshot``, above all."""

    def chunks(self, rows: Sequence[int], *, with_metadata: bool = False) -> dict[int, StoredChunk]:
        """The chunks of ``rows`` that exist, by row."""


class Recheck:
    """One search's rows.

    Attributes:
        failed: rows left out so far, by cause.
    """

    def __init__(self, params: SearchParams) -> None:
        self._params = params
        self.failed: Counter[Cause] = Counter()

    def confirmed(self, snapshot: Chunks, rows: Sequence[int]) -> dict[int, StoredChunk]:
        """The chunks of those ``rows`` that the store has, and that pass the filters, by row.

        Raises:
            sqlite3.Error: the store cannot be read.
        """
        if self._params.admitted is None:
            stored = kept = snapshot.chunks(rows)
        else:
            stored, kept = snapshot.chunks(rows, with_metadata=True), {}
            verdicts: dict[str, Cause | None] = {}  # by the JSON, which many documents share
            for row, chunk in stored.items():
                if chunk.metadata not in verdicts:
                    verdicts[chunk.metadata] = self._fault_in(orjson.loads(chunk.metadata))
                cause = verdicts[chunk.metadata]
                if cause is None:
                    kept[row] = chunk
                else:
                    self.failed[cause] += 1
        self.failed["missing"] += len(set(rows) - stored.keys())
        return kept

    def still_there(
        self, confirmed: Mapping[int, StoredChunk], living: set[int], snapshot: Snapshot
    ) -> dict[int, StoredChunk]:
        """Those of the ``confirmed`` whose document is there after the search, and may be seen.

        One that was replaced meanwhile is answered for as it was at the version of the search, as every search is,
        unless what is there now fails the filters.

        Args:
            living: their rows that are still there.
            snapshot: of the store after the search.
        """
        ids = {chunk.chunk.document_id for row, chunk in confirmed.items() if row not in living}
        now = snapshot.metadata_of(sorted(ids))
        gone = ids - {id_ for id_, metadata in now.items() if self._fault_in(metadata) is None}
        kept = {row: chunk for row, chunk in confirmed.items() if chunk.chunk.document_id not in gone}
        self.failed["deleted"] += len(confirmed) - len(kept)
        return kept

    def _fault_in(self, metadata: Mapping[str, Any]) -> Cause | None:
        params = self._params
        if params.required is not None and not matches(params.required, metadata):
            return "required"
        return "filter" if params.filter is not None and not matches(params.filter, metadata) else None
