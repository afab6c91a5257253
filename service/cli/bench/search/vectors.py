"""What is searched for and what is searched: MiniLM vectors of the standard library's documentation, or made up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexes.base import Vectors
from models.base import TextKind
from models.loading import BUNDLED_MODEL, find_model, fingerprint
from service.cli.bench.search.cached_vectors import CachedVectors
from service.cli.bench.search.documentation import Documentation

DIMENSION = 384  # of the bundled model
_QUERIES = 1000
_SEED = 5
# The shape of made-up vectors: as many clusters as this many rows each, in a space of this rank, and noise.
_ROWS_PER_CLUSTER, _RANK, _NOISE = 50, 40, 0.35


@dataclass(frozen=True, slots=True)
class SearchVectors:
    """Rows and held-out queries.

    Attributes:
        source: what they are, for the report.
        is_synthetic: made up rather than of text.
        texts: of each row.
        rows: ``(n, dimension)`` unit vectors.
        queries: ``(queries, dimension)`` unit vectors of texts that share nothing with those of the rows.
    """

    source: str
    is_synthetic: bool
    texts: Sequence[str]
    rows: Vectors
    queries: Vectors

    def first(self, rows: int) -> "SearchVectors":
        """The same queries over the first ``rows`` rows."""
        return replace(self, texts=self.texts[:rows], rows=self.rows[:rows])


def of_documentation(rows: int, cache: Path, say: Callable[[str], None], queries: int = _QUERIES) -> SearchVectors:
    """Of the standard library's documentation, by the bundled model; computed once.

    Args:
        cache: folder in which vectors are kept.
        say: where progress goes.

    Raises:
        TooFewTextsError: the documentation does not have so many windows.
    """
    say("reading the standard library's documentation")
    documentation = Documentation.read()
    texts, questions = documentation.rows(rows), documentation.queries(queries)
    model = fingerprint(find_model(BUNDLED_MODEL))[:12]
    name = f"{BUNDLED_MODEL}-{model}-{{dtype}}-{documentation.digest[:12]}"
    for folder in sorted(cache.glob(name.format(dtype="*"))):
        held, asked = (each.read(n) for each, n in zip(_both(folder), (rows, queries), strict=True))
        if held is not None and asked is not None:
            return SearchVectors(_source(folder.name), False, texts, held, asked)
    say(f"loading {BUNDLED_MODEL}")
    from models.transformer import TransformerEmbedder  # noqa: PLC0415  brings torch, which a filled cache spares

    embedder = TransformerEmbedder.load(BUNDLED_MODEL)
    folder = cache / name.format(dtype=embedder.info.dtype)
    of_rows, of_queries = _both(folder)
    asked = of_queries.complete(questions, embedder, say)
    return SearchVectors(_source(folder.name), False, texts, of_rows.complete(texts, embedder, say), asked)


def made_up(rows: int, dimension: int, queries: int = _QUERIES) -> SearchVectors:
    """Random clusters of low rank with noise, always the same; easier or harder than text, and no stand-in for it."""
    rng = np.random.default_rng(_SEED)
    basis = rng.normal(size=(min(_RANK, dimension), dimension)).astype(np.float32) / 2
    centres = rng.normal(size=(max(1, rows // _ROWS_PER_CLUSTER), dimension)).astype(np.float32)

    def some(count: int) -> Vectors:
        spread = 0.9 * rng.normal(size=(count, len(basis))).astype(np.float32) @ basis
        noise = _NOISE * rng.normal(size=(count, dimension)).astype(np.float32)
        vectors = centres[rng.integers(len(centres), size=count)] + spread + noise
        unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit

    texts = [f"Row {row} of vectors that are made up." for row in range(rows)]
    return SearchVectors("synthetic: random clusters", True, texts, some(rows), some(queries))


def _both(folder: Path) -> tuple[CachedVectors, CachedVectors]:
    return CachedVectors(folder, TextKind.DOCUMENT, "rows"), CachedVectors(folder, TextKind.QUERY, "queries")


def _source(name: str) -> str:
    return f"windows of the standard library's documentation, {name}"
