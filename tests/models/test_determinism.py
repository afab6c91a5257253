"""The same text has the same vector, whatever else is in its batch."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.base import TextKind, TokenIds, Vectors
from models.transformer import TransformerEmbedder

pytestmark = pytest.mark.slow

SEED = 11
VOCABULARY = (
    "segment tombstone index vector query river copper orchard engine lantern harbour winter ledger bridge falcon "
    "granite violin market signal cotton island pepper turbine glacier meadow rocket saddle temple walnut canyon "
    "rotates deletes rebuilds carries measures follows repairs forgets borrows paints slow bright hollow ancient "
    "silent narrow frozen golden under behind against without before the a every its"
)


@pytest.fixture(scope="module", params=["float32", "auto"])
def loaded(request: pytest.FixtureRequest) -> TransformerEmbedder:
    if request.param == "auto":
        served: TransformerEmbedder = request.getfixturevalue("embedder")
        return served
    return TransformerEmbedder.load("all-MiniLM-L6-v2", device="cpu", dtype="float32")


def random_texts(rng: np.random.Generator, count: int, longest: int) -> list[str]:
    return [" ".join(rng.choice(VOCABULARY.split(), size=rng.integers(3, longest))) for _ in range(count)]


def random_batches(rng: np.random.Generator, count: int) -> Iterator[list[int]]:
    """Rows in random order, cut into batches of 1 to 32."""
    order = rng.permutation(count).tolist()
    while order:
        size = int(rng.integers(1, 33))
        yield order[:size]
        order = order[size:]


def embed(embedder: TransformerEmbedder, ids: list[TokenIds], rng: np.random.Generator) -> Vectors:
    vectors = np.empty((len(ids), embedder.info.dimension), dtype=np.float32)
    for rows in random_batches(rng, len(ids)):
        vectors[rows] = embedder.embed([ids[row] for row in rows])
    return vectors


def nearest(queries: Vectors, documents: Vectors, k: int = 10) -> list[set[int]]:
    return [set(row) for row in np.argsort(-(queries @ documents.T), axis=1)[:, :k].tolist()]


def test_vectors_and_nearest_texts_do_not_depend_on_the_batch(loaded: TransformerEmbedder) -> None:
    rng = np.random.default_rng(SEED)
    print("seed", SEED, loaded.info.dtype)  # noqa: T201
    documents = loaded.tokenize(random_texts(rng, 200, 40), TextKind.DOCUMENT)
    queries = loaded.tokenize(random_texts(rng, 100, 12), TextKind.QUERY)
    first, second = (
        [embed(loaded, texts, np.random.default_rng(seed)) for texts in (documents, queries)] for seed in (1, 2)
    )
    lowest = min(float(np.sum(a * b, axis=1).min()) for a, b in zip(first, second, strict=True))
    same = [a == b for a, b in zip(nearest(first[1], first[0]), nearest(second[1], second[0]), strict=True)]
    print("lowest cosine", lowest, "same ten nearest", sum(same), "of", len(same))  # noqa: T201
    assert lowest >= (0.9999 if loaded.info.dtype == "float32" else 0.999)
    assert sum(same) >= 0.99 * len(same)
