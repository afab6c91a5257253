"""Random writes that depend on a seed and a serial number alone, so that a journal of numbers says what was written."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from indexes.base import Chunk, Document, Vectors

DIMENSION = 8
WORDS = ("granite", "slate", "marble", "basalt", "chalk", "flint", "gneiss", "schist")
_TENANTS = ("north", "south", "east")


@dataclass(frozen=True, slots=True)
class Content:
    """A document with its chunks and one unit vector for each."""

    document: Document
    chunks: tuple[Chunk, ...]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Operation:
    """One write; ``content`` is None for a delete."""

    serial: int
    document_id: str
    content: Content | None

    @property
    def kind(self) -> str:
        """``ingest`` or ``delete``."""
        return "delete" if self.content is None else "ingest"


@dataclass(frozen=True, slots=True)
class Workload:
    """A sequence of writes without an end.

    Attributes:
        seed: of everything in it.
        threads: serial ``n`` belongs to thread ``n % threads``, and ids to one thread, so that each id has an order.
        ids: document ids of a thread; few of them make many replacements.
        chunks: most chunks of a document.
        deletes: share of deletes.
    """

    seed: int
    threads: int = 3
    ids: int = 40
    chunks: int = 24
    deletes: float = 0.2

    def operation(self, serial: int) -> Operation:
        """The write of that serial number, the same at every call."""
        return _operation(self, serial)


@lru_cache(maxsize=4096)
def _operation(workload: Workload, serial: int) -> Operation:
    rng = np.random.default_rng((workload.seed, serial))
    document_id = f"{serial % workload.threads}-{rng.integers(workload.ids)}"
    if rng.random() < workload.deletes:
        return Operation(serial, document_id, None)
    return Operation(
        serial, document_id, made(rng, document_id, f"v{serial}", int(rng.integers(1, workload.chunks + 1)))
    )


def made(rng: np.random.Generator, document_id: str, label: str, chunks: int) -> Content:
    """A document of ``chunks`` chunks whose texts name it, the label and their place."""
    pieces = [f"{document_id} {label} {i} {' '.join(rng.choice(WORDS, size=5))}. " for i in range(chunks)]
    text, cut, start = "".join(pieces), [], 0
    for i, piece in enumerate(pieces):
        cut.append(Chunk(document_id, i, piece, start, start + len(piece), ("About", label)))
        start += len(piece)
    metadata = {"tenant": str(rng.choice(_TENANTS)), "year": int(rng.integers(2000, 2010)), "label": label}
    document = Document(
        document_id,
        f"Title of {document_id} {label}",
        text,
        metadata,
        f"https://example.org/{document_id}/{label}",
        "text",
        hashlib.sha256(text.encode()).digest(),
    )
    return Content(document, tuple(cut), unit(rng.normal(size=(chunks, DIMENSION))))


def unit(vectors: np.typing.NDArray[np.float64]) -> Vectors:
    """The rows at length one, as float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
