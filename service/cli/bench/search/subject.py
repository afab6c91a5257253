"""The collection that is measured, in a data directory of its own: the one file here that knows how it is opened."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from indexes.base import Hit, Hybrid, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.filters import Filter
from indexes.local_collection import LocalCollection
from indexes.nearest import nearest
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from service.cli.bench.search.corpus import Piece
from service.cli.bench.search.faiss_alone import FaissAlone

_NAME = "bench"
_DENSE_SHARE = 0.65
_CALLERS = 32  # put at the same time, so that they share commits


@dataclass(frozen=True, slots=True)
class Subject:
    """A collection and its catalog. Searches may come from any thread.

    Attributes:
        folder: the data directory.
        seal_rows: rows that are searched exactly until an index is built over them.
    """

    folder: Path
    seal_rows: int
    catalog: Catalog
    collection: LocalCollection

    @classmethod
    def open(cls, folder: Path, dimension: int, seal_rows: int) -> Self:
        """The collection in ``folder``, created when absent."""
        catalog = Catalog(folder, IndexPolicy(seal_rows))
        spec = CollectionSpec("bench", "0" * 64, dimension, chunk_size=256, chunk_overlap=0)
        collection, _ = catalog.ensure(_NAME, spec)
        assert isinstance(collection, LocalCollection)  # noqa: S101  no other place was named
        return cls(folder, seal_rows, catalog, collection)

    def close(self) -> None:
        """Close every file."""
        self.catalog.close()

    def put(self, piece: Piece) -> None:
        """Insert or replace one document."""
        self.collection.put(piece.document, piece.chunks, piece.vectors, self.collection.accept())

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Insert documents from many callers."""
        with ThreadPoolExecutor(_CALLERS) as callers:
            for _ in callers.map(self.put, pieces):
                pass

    def delete(self, document_id: str) -> None:
        """Remove one document."""
        self.collection.delete(document_id, self.collection.accept())

    def metadata(self, document_id: str) -> Mapping[str, Any]:
        """As the store has it."""
        return self.collection.document(document_id).metadata

    def maintain(self) -> None:
        """Whatever work of the background is due: an index is built, a snapshot written."""
        while self.collection.upkeep.step():
            pass

    def save_words(self) -> None:
        """Bring the index of words to the disk."""
        self.collection.lexical.settle()

    def rebuild(self) -> None:
        """Build everything again from the store."""
        self.collection.upkeep.rebuild()

    def save_snapshot(self) -> None:
        """Write one now."""
        self.collection.upkeep.save()

    def forget_snapshots(self) -> None:
        """Remove everything that is derived from the store; while closed."""
        for path in self.folder.glob("collections/*/*"):
            if path.is_dir():
                shutil.rmtree(path)

    def search(self, query: Vectors, top_k: int, filter: Filter | None = None) -> Sequence[Hit]:
        """Hits with their texts, with default settings."""
        return self.collection.search(query, SearchParams(top_k, filter=filter))

    def searched(self, query: Vectors, params: SearchParams) -> Sequence[Hit]:
        """The same, as it is asked for."""
        return self.collection.search(query, params)

    def hybrid(self, query: Vectors, top_k: int, text: str) -> Sequence[Hit]:
        """The same, with the words of a text."""
        return self.collection.search(query, SearchParams(top_k, hybrid=Hybrid(text, _DENSE_SHARE)))

    def nearest(self, query: Vectors, top_k: int) -> int:
        """The search without the store: results found, their texts not read."""
        view = self.collection._live.now
        return len(nearest(view, view.version, query, SearchParams(top_k)).rows)

    def faiss_alone(self) -> FaissAlone | None:
        """The collection's own index with its own settings, None while it has none."""
        view = self.collection._live.now
        if view.sealed is None:
            return None
        index = view.sealed.index
        return FaissAlone(index._index, view.rows.vectors(), index.params.nprobe, index.params.refine)

    def settings(self) -> Mapping[str, object]:
        """Kind and parameters of the index over most rows."""
        return max(self.collection.describe().segments, key=lambda segment: int(str(segment["rows"])))
