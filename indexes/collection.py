"""Collection: a named set of documents as the service uses it, wherever its vectors are searched.

The half of it that questions need is a protocol of its own, and all that a replica has.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from indexes.base import Chunk, Document, Hit, SearchParams, Vectors
from indexes.curve import RecallCurve
from indexes.document_rows import Entry
from indexes.erasure import Proof
from indexes.filters import Filter
from indexes.placement import IndexMemory
from indexes.searched import Searched
from indexes.sentence_vectors import SentenceVectors
from indexes.spec import CollectionSpec
from indexes.state import CollectionState
from indexes.store import Change
from indexes.store_snapshot import StoredChunk
from indexes.surroundings import Surroundings
from indexes.verification import Verification
from indexes.work import Work


class Keeping(Protocol):
    """What keeps an index in shape, one step at a time."""

    @property
    def is_due(self) -> bool:
        """There is something to do."""

    def step(self) -> str | None:
        """Do one thing that is due; what was done, as a participle, or None."""

    def calibrate(self) -> RecallCurve:
        """Measure the curve of the present index again.

        Raises:
            NothingSealedError: there is no index to measure.
        """


class QueriedCollection(Protocol):
    """What questions are answered from. ``StoredCollection`` says more of each method; any thread may call them."""

    @property
    def spec(self) -> CollectionSpec:
        """What makes it itself."""

    @property
    def version(self) -> int:
        """Version a search that starts now is answered at."""

    @property
    def identity(self) -> str:
        """Unlike a name never given to another collection; the same after a restart."""

    @property
    def has_words(self) -> bool:
        """There is an index of words, be it damaged or behind."""

    @property
    def is_behind(self) -> bool:
        """``living`` has to read, which takes time."""

    @property
    def memory(self) -> IndexMemory:
        """What it takes on the host now; asks no file."""

    @property
    def working_on(self) -> Work | None:
        """What is being built or verified."""

    @property
    def upkeep(self) -> Keeping | None:
        """Of its index; None where another process does that."""

    @property
    def trouble(self) -> Sequence[str]:
        """Why something that is due is not done, or was built again."""

    def searched(self, query: Vectors, params: SearchParams) -> Searched:
        """The ``top_k`` best chunks for a ``(dimension,)`` vector, best first, and how they were found."""

    def living(self, rows: Sequence[int]) -> set[int]:
        """Those of the chunk rows, as hits have them, that no commit has removed."""

    def confirmed_at(self, version: int, rows: Sequence[int], params: SearchParams) -> dict[int, StoredChunk] | None:
        """The chunks that were found at ``version``; None where that is over, or one of them would not be found now."""

    def surroundings(self, rows: Sequence[int], reach: int) -> dict[int, Surroundings]:
        """The text around the chunk rows that hits have."""

    def sentences_of(self, rows: Sequence[int]) -> dict[int, SentenceVectors]:
        """Sentences of those of the chunk rows that have some, by row."""

    def count_matching(self, filter: Filter) -> int | None:
        """Documents that pass now; None where only their writer can tell."""

    def describe(self) -> CollectionState:
        """Counts and the state of the index, for the status page."""


class Collection(QueriedCollection, Protocol):
    """One named set of documents, to be changed as well."""

    @property
    def upkeep(self) -> Keeping:
        """Of its index."""

    @property
    def place(self) -> str | None:
        """Name of its rows where replicas search them; None where they cannot."""

    def make_place(self) -> None:
        """Have that be there, for who cannot make it."""

    def accept(self) -> int:
        """A sequence number for a write that is accepted now."""

    def go_on_above(self, seq: int) -> None:
        """Give out no number up to ``seq`` any more."""

    def put(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Vectors,
        seq: int,
        guard: Filter | None = None,
        sentences: Sequence[SentenceVectors] = (),
    ) -> Change:
        """Insert or replace a document; durable and visible to the next search when this returns."""

    def confirm(self, document_id: str, content_hash: bytes, seq: int, source_hash: bytes | None = None) -> bool:
        """True when the document already has this content; it then counts as written at ``seq``, from that source."""

    def confirm_source(self, document_id: str, source_hash: bytes, seq: int) -> bool:
        """True when the document was made of this very file; it then counts as written at ``seq``."""

    def is_overtaken(self, document_id: str, metadata: Mapping[str, Any] | None, seq: int) -> bool:
        """Whether a write of the document at ``seq`` would change nothing."""

    def delete(self, document_id: str, seq: int, guard: Filter | None = None) -> Change:
        """Remove a document that passes ``guard``; invisible to every search that starts after this returns."""

    def delete_matching(self, filter: Filter, seq: int) -> tuple[int, int]:
        """Remove the documents that pass ``filter``: how many there were, and the version without them."""

    def document(self, document_id: str) -> Document:
        """The document with its text."""

    def documents(self, after: str, limit: int, filter: Filter | None = None) -> list[Entry]:
        """(id, title, url, metadata) of up to ``limit`` documents with an id above ``after`` that pass, by id."""

    def ids_matching(self, filter: Filter) -> list[str]:
        """Ids of the documents that pass now."""

    def search(self, query: Vectors, params: SearchParams) -> Sequence[Hit]:
        """The hits of ``searched``."""

    def rebuild(self) -> None:
        """Build the indexes anew from the store."""

    def verify(self) -> Verification:
        """Compare the index with the store."""

    def needles(self, document_ids: Sequence[str]) -> list[bytes]:
        """Samples of everything that the documents have in the store, to be taken before they are deleted."""

    def purge(self, needles: Sequence[bytes]) -> Proof:
        """Remove everything that was deleted so far from the files, and look for it there."""

    def close(self) -> None:
        """Close the store; later calls raise StoreUnavailableError."""
