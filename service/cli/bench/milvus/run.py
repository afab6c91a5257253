"""What a search of a collection on Milvus takes beside the bare call of its client."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from indexes.base import Chunk, Document, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.data_directory import COLLECTIONS
from indexes.ivf_pq import search_on_one_thread
from indexes.milvus_place import MilvusPlace
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from service.cli.bench.percentiles import Percentiles
from service.cli.console import err

if TYPE_CHECKING:
    from indexes.milvus_client import MilvusServer

TARGET_MS = 2.0
_CHUNKS = 8
_TEXT = "The quick brown fox jumps over the lazy dog. " * 8
WARM_UP = 20


def run(server: "MilvusServer", vectors: Vectors, samples: int, top_k: int) -> dict[str, Any]:
    """Fill a collection with all but the last rows, which are queries, and search it; nothing of it is left.

    Raises:
        MilvusUnavailableError: Milvus does not answer.
    """
    search_on_one_thread()  # as the threads do that a server searches on
    rows = len(vectors) - samples - WARM_UP
    with _filled(server, vectors[:rows]) as subject:
        return _measured(subject, vectors[rows:], top_k) | {"rows": rows, "dimension": vectors.shape[1]}


@dataclass(frozen=True, slots=True)
class _Subject:
    server: "MilvusServer"
    collection: Collection
    name: str

    def bare(self, query: Vectors, top_k: int) -> float:
        """Seconds of a call for as many rows as the collection asks for, by the same parameters; no fields of them."""
        index, params = self.server.index, SearchParams(top_k)
        limit = index.candidates(params)
        start = time.perf_counter()
        self.server.client.search(
            self.name,
            data=[query],
            limit=limit,
            search_params={"params": dict(index.searched_with(limit, params))},
            consistency_level=self.server.address.consistency,
            timeout=self.server.address.timeout_s,
        )
        return time.perf_counter() - start

    def whole(self, query: Vectors, top_k: int) -> tuple[float, float]:
        """Seconds of a search with texts, exact scores and a second look at the store; and of the call within it."""
        client, within = self.server.client, 0.0
        search = client.search

        def timed(*given: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the collection hands over
            nonlocal within
            start = time.perf_counter()
            try:
                return search(*given, **named)
            finally:
                within += time.perf_counter() - start

        client.search = timed
        try:
            start = time.perf_counter()
            self.collection.search(query, SearchParams(top_k))
            return time.perf_counter() - start, within
        finally:
            del client.search


@contextmanager
def _filled(server: "MilvusServer", vectors: Vectors) -> Iterator[_Subject]:
    """A collection in a directory of its own, which leaves nothing on Milvus."""
    spec = CollectionSpec("bench", "0" * 64, vectors.shape[1], chunk_size=256, chunk_overlap=0)
    with tempfile.TemporaryDirectory() as folder, closing(_catalog(folder, server)) as catalog:
        collection, _ = catalog.ensure("bench", spec)
        try:
            err.print(f"writing {len(vectors)} rows ...")
            for at in range(0, len(vectors), _CHUNKS):
                _put(collection, f"d{at}", vectors[at : at + _CHUNKS])
            (place,) = (MilvusPlace.read(each) for each in (Path(folder) / COLLECTIONS).iterdir())
            assert place is not None  # noqa: S101  the catalogue was given a server
            yield _Subject(server, collection, place.name)
        finally:
            catalog.drop("bench")


def _catalog(folder: str, server: "MilvusServer") -> Catalog:
    return Catalog(Path(folder), IndexPolicy(), milvus=server)


def _put(collection: Collection, name: str, vectors: Vectors) -> None:
    document = Document(name, "A title", _TEXT * len(vectors), {}, None, "text", name.encode())
    size = len(_TEXT)
    chunks = [Chunk(name, at, _TEXT, at * size, (at + 1) * size) for at in range(len(vectors))]
    collection.put(document, chunks, vectors, collection.accept())


def _measured(subject: _Subject, queries: Vectors, top_k: int) -> dict[str, Any]:
    """Pairs in turn, each the other way round than the one before: what disturbs one disturbs the other.

    ``own`` is what a search takes outside of the call that it makes itself, as two calls may differ by more than that.
    """
    bare: list[float] = []
    whole: list[tuple[float, float]] = []
    for number, query in enumerate(queries):
        if number % 2:
            bare.append(subject.bare(query, top_k))
        whole.append(subject.whole(query, top_k))
        if not number % 2:
            bare.append(subject.bare(query, top_k))
    bare, whole = bare[WARM_UP:], whole[WARM_UP:]
    added = 1000 * median(total - one for one, (total, _) in zip(bare, whole, strict=True))
    return {
        "bench": "milvus",
        "index": subject.server.index.type,
        "samples": len(whole),
        "client_ms": asdict(Percentiles.of(bare)),
        "collection_ms": asdict(Percentiles.of([total for total, _ in whole])),
        "added_p50_ms": round(added, 3),
        "own_p50_ms": round(1000 * median(total - within for total, within in whole), 3),
        "met": added <= TARGET_MS,
    }
