"""ReplicaCollection: a collection on Milvus as a process without its store reads it. See decision 20."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from indexes.base import SearchParams, Vectors
from indexes.errors import MilvusUnavailableError
from indexes.filters import Filter
from indexes.milvus_filter import expression
from indexes.milvus_given import MilvusGiven
from indexes.milvus_reading import MilvusRows
from indexes.milvus_row import ORDINAL
from indexes.milvus_search import MilvusSearch
from indexes.milvus_surroundings import surroundings_in
from indexes.placement import IndexMemory
from indexes.published_entry import PublishedCollection
from indexes.recall import LiveRecall
from indexes.recheck import Recheck
from indexes.searched import Searched
from indexes.sentence_vectors import SentenceVectors
from indexes.spec import CollectionSpec
from indexes.state import CollectionState
from indexes.store_snapshot import StoredChunk
from indexes.surroundings import Surroundings
from indexes.vector_check import checked_query

# Every document with text has a chunk of this number, and one alone.
_FIRST = f"{ORDINAL} == 0"


class ReplicaCollection:
    """What questions are answered from, read from Milvus alone. Every method may be called from any thread.

    A row is what its own checksum says, and its document's metadata are held to every filter; there is no store to ask.

    Args:
        published: who it is, as its writer says.
        rows: in Milvus.
        look_again: called when Milvus does not answer: it may have been dropped, or its name lead elsewhere.
    """

    def __init__(self, published: PublishedCollection, rows: MilvusRows, look_again: Callable[[], None]) -> None:
        self.published = published
        self._rows = rows
        self._look_again = look_again
        self._seen = 0
        self._seeing = threading.Lock()

    def as_published(self, published: PublishedCollection) -> "ReplicaCollection":
        """The same rows, as their writer describes them now."""
        other = ReplicaCollection(published, self._rows, self._look_again)
        other._met(self._seen)
        return other

    @property
    def spec(self) -> CollectionSpec:
        """What makes it itself."""
        return self.published.spec

    @property
    def identity(self) -> str:
        """That of the writer's collection."""
        return self.published.identity

    @property
    def has_words(self) -> bool:
        """Milvus has vectors alone."""
        return False

    @property
    def version(self) -> int:
        """The highest of a row that a search has met: searches see it, and all before it."""
        return self._seen

    @property
    def is_behind(self) -> bool:
        """What is there only Milvus can tell."""
        return True

    @property
    def memory(self) -> IndexMemory:
        """Of this host nothing."""
        return IndexMemory()

    @property
    def working_on(self) -> None:
        """Nothing is built here."""

    @property
    def upkeep(self) -> None:
        """Its writer does that."""

    @property
    def trouble(self) -> Sequence[str]:
        """Nothing is due here."""
        return ()

    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """As in ``StoredCollection``, of what Milvus has when it is asked.

        Raises:
            InvalidVectorError: as there.
            MilvusUnavailableError: it did not answer, or the collection is dropped.
        """
        query = checked_query(query, self.spec)
        recheck, given = Recheck(params), MilvusGiven(self._rows)
        try:
            search = MilvusSearch(given.near, given, self._rows.index, self.spec, query, params, recheck)
            finding, confirmed = search.found()
        except MilvusUnavailableError:
            self._look_again()
            raise
        newest = {row: chunk for row, chunk in confirmed.items() if given.is_newest(row)}
        return replace(Searched.of(finding, newest, self._met(given.newest), params), failed=dict(+recheck.failed))

    def living(self, rows: Sequence[int]) -> set[int]:
        """As in ``StoredCollection``.

        Raises:
            MilvusUnavailableError: nobody can tell.
        """
        return self._rows.living(rows)

    def confirmed_at(self, version: int, rows: Sequence[int], params: SearchParams) -> dict[int, StoredChunk] | None:
        """None: of a version nothing is known here."""
        return None

    def surroundings(self, rows: Sequence[int], reach: int) -> dict[int, Surroundings]:
        """As ``surroundings_in``.

        Raises:
            MilvusUnavailableError: it did not answer.
        """
        return surroundings_in(self._rows, rows, reach)

    def sentences_of(self, rows: Sequence[int]) -> dict[int, SentenceVectors]:
        """None: vectors of sentences are in the store alone."""
        return {}

    def count_matching(self, filter: Filter) -> int | None:
        """Documents with text that pass now; None where Milvus cannot count them exactly.

        Raises:
            MilvusUnavailableError: it did not answer.
        """
        condition = expression(filter)
        return self._rows.count(f"{_FIRST} and {condition.text}") if condition.is_exact else None

    def describe(self) -> CollectionState:
        """Counts of Milvus; documents without text are not among them.

        Raises:
            MilvusUnavailableError: it did not answer.
        """
        chunks, index = self._rows.count(), self._rows.index
        tier = f"milvus: {index.type} with exact refine in {self._rows.name}, as a replica reads it"
        return CollectionState(
            documents=self._rows.count(_FIRST),
            chunks=chunks,
            index_version=self.version,
            seal_rows=0,
            segments=[{"tier": tier, "index": "milvus", "rows": chunks, "live_rows": chunks}],
            dead_rows=0,
            bytes=0,
            sentences=0,
            sentence_bytes=0,
            recall=LiveRecall().estimate(),
            snapshot=None,
            working_on=None,
            trouble=self.trouble,
        )

    def _met(self, version: int) -> int:
        with self._seeing:
            self._seen = max(self._seen, version)
            return self._seen
