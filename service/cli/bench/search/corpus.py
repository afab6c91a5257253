"""The documents that are put: several rows each, with metadata that has nothing to do with their vectors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Chunk, Document, Mask, Vectors
from service.cli.bench.search.vectors import SearchVectors

ROWS_PER_DOCUMENT = 8
_SEED = 3
_ASKED = 60  # characters of a row, as the words of a question


@dataclass(frozen=True, slots=True)
class Share:
    """A filter that keeps one document in ``modulus``.

    Attributes:
        key: of the metadata; its values are the remainders.
    """

    key: str
    modulus: int

    @property
    def selectivity(self) -> float:
        """Share of the documents that a value keeps."""
        return 1 / self.modulus

    def filter(self, value: int) -> dict[str, Any]:
        """As JSON."""
        return {"type": "eq", "key": self.key, "value": value}


SHARES = (Share("half", 2), Share("twentieth", 20), Share("thousandth", 1000))


@dataclass(frozen=True, slots=True)
class Piece:
    """A document as ``Collection.put`` takes it."""

    document: Document
    chunks: list[Chunk]
    vectors: Vectors


@dataclass(frozen=True)
class Corpus:
    """Rows ``8 i`` to ``8 i + 7`` are document ``i``."""

    vectors: SearchVectors

    @property
    def rows(self) -> int:
        """Rows of all documents."""
        return len(self.vectors.rows)

    @property
    def documents(self) -> int:
        """The last one may be shorter than the others."""
        return -(-self.rows // ROWS_PER_DOCUMENT)

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """``(documents,)``: each number once, in random order."""
        return np.random.default_rng(_SEED).permutation(self.documents).astype(np.int64)

    def piece(self, document: int) -> Piece:
        """Document ``document``."""
        metadata = metadata_of(int(self.numbers[document]))
        return self.piece_with(document, name_of(document), metadata)

    def piece_with(self, document: int, name: str, metadata: Mapping[str, Any]) -> Piece:
        """The texts and vectors of a document under another id, or with other metadata."""
        first = document * ROWS_PER_DOCUMENT
        texts = self.vectors.texts[first : first + ROWS_PER_DOCUMENT]
        ends = np.cumsum([len(text) + 1 for text in texts]).tolist()
        chunks = [
            Chunk(name, ordinal, text, end - 1 - len(text), end - 1)
            for ordinal, (text, end) in enumerate(zip(texts, ends, strict=True))
        ]
        content_hash = hashlib.sha256(f"{name} {metadata}".encode()).digest()
        document_ = Document(name, name, "\n".join(texts), metadata, None, "text", content_hash)
        return Piece(document_, chunks, self.vectors.rows[first : first + ROWS_PER_DOCUMENT])

    def question(self, number: int) -> str:
        """Words to look for, of some row."""
        texts = self.vectors.texts
        return texts[number % len(texts)][:_ASKED]

    def kept(self, share: Share, value: int) -> Mask:
        """``(rows,)``: rows of the documents that ``share.filter(value)`` keeps."""
        return np.repeat(self.numbers % share.modulus == value, ROWS_PER_DOCUMENT)[: self.rows]

    def value(self, share: Share, query: int) -> int:
        """A value that some document has; neighbouring queries ask for different ones, as tenants do."""
        return query % min(share.modulus, self.documents)


def name_of(document: int) -> str:
    """Its id."""
    return f"document-{document:07d}"


def row_of(chunk: Chunk) -> int:
    """The row that a chunk of a ``Corpus.piece`` is."""
    return int(chunk.document_id.rpartition("-")[2]) * ROWS_PER_DOCUMENT + chunk.ordinal


def metadata_of(number: int) -> dict[str, Any]:
    """Made of a document's number alone; every third document has no tag."""
    metadata: dict[str, Any] = {share.key: number % share.modulus for share in SHARES}
    metadata |= {"number": number, "tenant": f"tenant-{number % 7}"}
    if number % 3:
        metadata["tag"] = f"tag-{number % 11}"
    return metadata
