import numpy as np
import pytest

from models.base import TextKind
from models.hashing import HashingEmbedder


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder(dimension=64, max_tokens=8)


def embed(embedder: HashingEmbedder, *texts: str) -> np.ndarray:
    return embedder.embed(embedder.tokenize(texts, TextKind.DOCUMENT))


def test_vectors_are_unit_float32_of_the_promised_dimension(embedder: HashingEmbedder) -> None:
    vectors = embed(embedder, "one two", "three", "", "!?")
    assert vectors.shape == (4, embedder.info.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_equal_words_give_equal_vectors_in_any_batch(embedder: HashingEmbedder) -> None:
    alone = embed(embedder, "rotate the keys")
    among = embed(embedder, "other", "Rotate, the KEYS!", "more")
    np.testing.assert_array_equal(alone[0], among[1])


def test_texts_that_share_words_are_nearer_than_texts_that_do_not(embedder: HashingEmbedder) -> None:
    query, near, far = embed(embedder, "rotate the keys", "how to rotate keys", "bread and butter")
    assert query @ near > query @ far


def test_known_words_keep_their_vector_from_one_version_to_the_next() -> None:
    vector = embed(HashingEmbedder(dimension=8), "quarry")[0]
    # zlib.crc32(b"quarry") is 2696015564: even, so the sign is minus; half of it is 6 modulo 8.
    np.testing.assert_array_equal(vector, -np.eye(8, dtype=np.float32)[6])


def test_a_text_without_words_gets_the_first_axis(embedder: HashingEmbedder) -> None:
    np.testing.assert_array_equal(embed(embedder, "...")[0], np.eye(64, dtype=np.float32)[0])


def test_long_texts_are_truncated_but_counted_whole(embedder: HashingEmbedder) -> None:
    text = " ".join("abcdefghijkl")
    assert len(embedder.tokenize([text], TextKind.QUERY)[0]) == 8
    assert embedder.count_tokens(text) == 12


def test_an_empty_batch_gives_no_rows(embedder: HashingEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 64)
