"""A sealed index as the files and facts of a snapshot, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.base import RowIds
from indexes.curve import RecallCurve
from indexes.errors import IndexFileError, SnapshotError
from indexes.ivf_pq import IndexFacts, IvfPqIndex
from indexes.snapshot import JSON, Loaded
from indexes.spec import CollectionSpec
from indexes.view import Sealed, View

_INDEX, _ROWS = "index.faiss", "rows.int64"


@dataclass(frozen=True, slots=True)
class SavedIndex:
    """What a snapshot held.

    Attributes:
        ids: ``(n,)`` row ids by position.
        version: of the collection when it was saved.
    """

    sealed: Sealed
    ids: RowIds
    version: int


def packed(view: View, sealed: Sealed) -> tuple[Mapping[str, Any], Mapping[str, JSON]]:
    """Files and facts of a snapshot. Vectors are the store's, and not among them."""
    ids = np.ascontiguousarray(view.rows.ids(sealed.index.size), dtype="<i8")
    facts: dict[str, JSON] = {
        "version": view.version,
        "index": sealed.index.facts.to_json(),
        "curve": sealed.curve.to_json(),
    }
    return {_INDEX: sealed.index.to_bytes(), _ROWS: ids}, facts


def unpacked(loaded: Loaded, spec: CollectionSpec) -> SavedIndex:
    """The index of a snapshot whose files are what was written.

    Raises:
        SnapshotError: they are of another collection or another program.
    """
    facts: Any = loaded.facts
    try:
        ids = np.frombuffer(loaded.files[_ROWS], dtype="<i8").astype(np.int64)
        known = IndexFacts.from_json(facts["index"])
        _check(known, ids, spec, loaded.name)
        index = IvfPqIndex.from_bytes(loaded.files[_INDEX], known)
        sealed = Sealed(index, RecallCurve.from_json(facts["curve"]))
        version = int(facts["version"])
    except (KeyError, TypeError, ValueError, IndexFileError) as error:
        raise SnapshotError(f"snapshot {loaded.name} is not understood: {error!r}") from error
    return SavedIndex(sealed, ids, version)


def _check(known: IndexFacts, ids: RowIds, spec: CollectionSpec, name: str) -> None:
    """Before FAISS is given a byte: it is an index of this collection, and its rows ascend, as those of a store do."""
    if (known.dimension, known.metric, known.rows) != (spec.dimension, spec.metric, len(ids)):
        raise SnapshotError(
            f"snapshot {name} is of {known.rows} rows of {known.dimension} dimensions by {known.metric}; "
            f"the collection has {len(ids)} of {spec.dimension} by {spec.metric}"
        )
    params = known.params
    if not all(type(number) is int and number > 0 for number in (params.nprobe, params.refine, known.trained_rows)):
        raise SnapshotError(f"snapshot {name} says that its index is searched by {params}")
    if len(ids) and (ids[0] < 1 or not (np.diff(ids) > 0).all()):
        raise SnapshotError(f"snapshot {name} has rows that do not ascend from 1")
