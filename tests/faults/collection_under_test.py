"""The one place where these harnesses touch the collection: when that changes, only this file does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from faults.workload import DIMENSION, Content
from indexes import catalog
from indexes.base import Document, Hit, SearchParams, Vectors
from indexes.collection import Collection, CollectionSpec
from indexes.errors import DocumentNotFoundError

SEAL_ROWS = 256  # the fewest that IVF-PQ can be trained on
METRICS: tuple[str, ...] = get_args(get_type_hints(CollectionSpec)["metric"])
# Every list and every row: IVF-PQ with these is exact, so a missing hit is a fault of the collection.
_EVERY = 10**6
_NAME = "docs"
_METHODS = {"maintain": "maintain", "rebuild": "rebuild", "snapshot": "save_snapshot"}
# Background work by name, as far as a collection has it; ``maintain`` does all that is due.
STEPS = tuple(step for step, method in _METHODS.items() if step == "maintain" or hasattr(Collection, method))


class CollectionUnderTest:
    """One collection of a catalogue with tiny seals; opens it, or creates it.

    Args:
        data_dir: of the catalogue.
        metric: one of ``METRICS``.
    """

    def __init__(self, data_dir: Path, metric: str = "cosine") -> None:
        policy: Any = catalog.IndexPolicy(seal_rows=SEAL_ROWS) if hasattr(catalog, "IndexPolicy") else SEAL_ROWS
        spec = CollectionSpec("test-model", "test-fingerprint", DIMENSION, 100, 0, metric)
        self._catalog = catalog.Catalog(data_dir, policy)
        try:
            self._collection: Any = self._catalog.ensure(_NAME, spec)[0]
        except BaseException:
            self._catalog.close()
            raise

    def put(self, content: Content, seq: int | None = None) -> str:
        """Upsert; the outcome."""
        seq = self.accept() if seq is None else seq
        return str(self._collection.put(content.document, content.chunks, content.vectors, seq).outcome)

    def delete(self, document_id: str, seq: int | None = None) -> str:
        """Delete; the outcome."""
        return str(self._collection.delete(document_id, self.accept() if seq is None else seq).outcome)

    def confirm(self, document_id: str, content_hash: bytes, seq: int) -> bool:
        """Whether the document has that content already."""
        return bool(self._collection.confirm(document_id, content_hash, seq))

    def accept(self) -> int:
        """A sequence number."""
        return int(self._collection.accept())

    def search(self, query: Vectors, top_k: int, **params: object) -> Sequence[Hit]:
        """The best chunks by an exact search."""
        return self._collection.search(query, SearchParams(top_k=top_k, nprobe=_EVERY, refine=_EVERY, **params))

    def document(self, document_id: str) -> Document | None:
        """The document, or None."""
        try:
            return self._collection.document(document_id)
        except DocumentNotFoundError:
            return None

    def listing(self) -> list[str]:
        """Every document id, as the listing gives them page by page."""
        ids: list[str] = []
        while page := self._collection.documents(ids[-1] if ids else "", 100):
            ids += [row[0] for row in page]
        return ids

    def counts(self) -> tuple[int, int]:
        """Documents and chunks, as the status gives them."""
        state = self._collection.describe()
        return state.documents, state.chunks

    def do(self, step: str) -> object:
        """One of ``STEPS``."""
        return self.maintain() if step == "maintain" else getattr(self._collection, _METHODS[step])()

    def maintain(self) -> int:
        """Do all the background work that is due; how many steps it took."""
        step = getattr(self._collection, "maintain", None) or self._collection.seal
        taken = 0
        while step():
            taken += 1
        return taken

    def close(self) -> None:
        """Close the catalogue."""
        self._catalog.close()
