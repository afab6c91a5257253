"""The one place where these harnesses touch the collection: when that changes, only this file does."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from faults.workload import DIMENSION, Content
from indexes.base import Document, Hit, Hybrid, Metric, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import CollectionSpec
from indexes.errors import DocumentNotFoundError
from indexes.filters import parse_filter
from indexes.snapshot import Snapshots
from indexes.upkeep import IndexPolicy

SEAL_ROWS = 256  # the fewest that IVF-PQ can be trained on
METRICS: tuple[Metric, ...] = get_args(Metric)
STEPS = ("maintain", "rebuild", "snapshot")  # background work; maintain does all that is due
# Every list and every row: IVF-PQ with these is exact, so a missing hit is a fault of the collection.
_EVERY = 10**6
_NAME = "docs"


class CollectionUnderTest:
    """One collection of a catalogue with tiny seals; opens it, or creates it.

    Args:
        data_dir: of the catalogue.
        metric: one of ``METRICS``.
    """

    def __init__(self, data_dir: Path, metric: Metric = "cosine") -> None:
        spec = CollectionSpec("test-model", "test-fingerprint", DIMENSION, 100, 0, metric)
        self._data_dir = data_dir
        self._catalog = Catalog(data_dir, IndexPolicy(seal_rows=SEAL_ROWS))
        try:
            self._collection = self._catalog.ensure(_NAME, spec)[0]
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

    def search(self, query: Vectors, top_k: int, matching: object = None) -> Sequence[Hit]:
        """The best chunks by an exact search, of documents that match a filter as JSON has it."""
        wanted = None if matching is None else parse_filter(matching)
        return self._collection.search(query, SearchParams(top_k, nprobe=_EVERY, refine=_EVERY, filter=wanted))

    def worded(self, word: str, top_k: int) -> Sequence[Hit]:
        """The chunks that have a word."""
        searched = self._collection.searched(
            np.ones(DIMENSION, dtype=np.float32), SearchParams(top_k, hybrid=Hybrid(word, 0.0))
        )
        assert searched.without_lexical is None
        return [hit for hit in searched.hits if hit.scores["lexical"] > 0]

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
        work: dict[str, Callable[[], object]] = {
            "maintain": self.maintain,
            "rebuild": self._collection.upkeep.rebuild,
            "snapshot": self._save,
        }
        return work[step]()

    def _save(self) -> None:
        self._collection.upkeep.save()
        self._collection.lexical.settle()

    def maintain(self) -> int:
        """Do all the background work that is due; how many steps it took."""
        taken = 0
        while self._collection.upkeep.step():
            taken += 1
        lexical = self._collection.lexical
        while lexical.due_at <= time.monotonic():
            lexical.step()
            taken += 1
        if lexical.trouble:  # found at the start, and due a little later
            lexical.settle()
        return taken

    def trouble(self) -> Sequence[str]:
        """What is wrong with the index, as the status says it."""
        return list(self._collection.describe().trouble)

    def damage(self) -> Sequence[str]:
        """What is wrong with the files of the indexes, every byte of them read."""
        lexical = self._collection.lexical
        with self._collection._store.snapshot() as snapshot:
            found = [*lexical.trouble, *lexical.verify(snapshot.row_ids())]  # a start leaves nothing damaged there
        return found + [
            said for folder in self._data_dir.glob("collections/*/snapshots") for said in Snapshots(folder).verify()
        ]

    def delete_matching(self, raw: object) -> int:
        """Delete by a filter as JSON has it; how many documents went."""
        return self._collection.delete_matching(parse_filter(raw), self.accept())[0]

    def close(self) -> None:
        """Close the catalogue."""
        self._catalog.close()
