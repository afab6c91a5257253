"""The nouns of this room and the conventions every index keeps.

Vectors are ``(n, dimension)`` float32; for the cosine metric they have unit norm. A higher score is better: the inner
product, or for ``l2`` the negative squared distance. Positions are 0..n-1 inside one table of rows and never reused;
row ids are the store's and never reused either. Results are best first; missing ones have position -1 and score -inf.
An index holds every row it was given: which of them a search may return is decided outside of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexes.filters import Filter, joined

Vectors = NDArray[np.float32]
Scores = NDArray[np.float32]
Positions = NDArray[np.int64]
RowIds = NDArray[np.int64]
Mask = NDArray[np.bool_]

# How vectors are compared; a higher score is always better: cosine (inner product of unit vectors), inner product,
# or the squared distance, negated.
Metric = Literal["cosine", "ip", "l2"]

# How a text is read: "paged" is plain text whose pages are separated by form feeds, as pdftotext writes them.
TextFormat = Literal["text", "markdown", "paged"]
PAGE_BREAK = "\f"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is stored.

    Attributes:
        text: what chunks and citations index, in Unicode code points.
        format: how ``text`` is read when it is cut into chunks.
        content_hash: SHA-256 over everything that decides the chunks and the reply; equal hashes mean ``unchanged``.
        source_hash: SHA-256 of the file that was read to it, with all that decides how; None where there was none.
    """

    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    url: str | None
    format: TextFormat
    content_hash: bytes
    source_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: ``text == document.text[start:end]``.

    Attributes:
        heading_path: headings above it, the outermost first.
        page: of a paged text, counted from 1.
    """

    document_id: str
    ordinal: int
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None

    @property
    def id(self) -> str:
        """Unique in the collection, stable as long as the document is."""
        return f"{self.document_id}#{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found.

    Attributes:
        score: what the hits are ordered by.
        scores: by retriever; ``vector`` is the cosine, whatever the metric; ``boost``, where the search had boosts, the
            weight that ``score`` has in it.
        score_per_cosine: what a cosine higher by one adds to ``score`` at the same lengths of chunk and query.
        row: of the chunk in its store, never given to another: by it a hit is told to be there still.
    """

    chunk: Chunk
    title: str
    url: str | None
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    score_per_cosine: float = 1.0
    row: int = 0


@dataclass(frozen=True, slots=True)
class Boost:
    """Documents that are to come earlier.

    Attributes:
        filter: what their metadata passes.
        weight: cosine that each of their chunks is given in the order of the hits, above 0.
    """

    filter: Filter
    weight: float


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Words that a search looks for beside its vector.

    Attributes:
        text: the query as its words are looked for.
        weight: share of the vectors in the order of the hits, 0..1; 0 leaves the order to the words, 1 to the vectors.
    """

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How to search.

    Attributes:
        top_k: hits wanted.
        score_threshold: lowest cosine of a hit; None keeps all.
        nprobe: inverted lists to visit; None takes what the recall curve chose.
        refine: candidates rescored exactly for each hit wanted; None takes what the recall curve chose.
        filter: what the metadata of a hit's document must match.
        required: what it must match besides, whoever asks for what: a document that fails it does not exist for the
            search.
        hybrid: also look for words, and fuse what is found; None goes by vectors alone.
        explain: also say which candidates are no hits, and why.
        boosts: of those whose filter a document passes, the greatest weight counts.
    """

    top_k: int = 10
    score_threshold: float | None = None
    nprobe: int | None = None
    refine: int | None = None
    filter: Filter | None = None
    explain: bool = False
    boosts: tuple[Boost, ...] = ()
    required: Filter | None = None
    hybrid: Hybrid | None = None

    @property
    def admitted(self) -> Filter | None:
        """What the metadata of a hit's document must match, all in all."""
        return joined(self.required, self.filter)

    @property
    def explains_candidates(self) -> bool:
        """Which candidates there are, and how many, depends on all rows: it would tell what ``required`` hides."""
        return self.explain and self.required is None
