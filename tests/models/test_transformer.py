"""TransformerEmbedder against SentenceTransformer.encode in float32."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.base import TextKind, Vectors
from models.loading import find_model, fingerprint
from models.parity import PARITY
from models.transformer import TransformerEmbedder

SENTENCE = "a tombstone marks each row as deleted until its segment is rebuilt from the store without it"
WORDS = SENTENCE.split()
# From nothing to twice what the model reads.
TEXTS = [
    "",
    "?",
    *(" ".join(WORDS[i % 7 :] * (i // 4 + 1)) for i in range(0, 120, 12)),
    "Grüße 世界 👩‍🚀 \x00 \u202e",
    "x" * 9000,
]


@pytest.fixture(scope="module")
def reference() -> Vectors:
    """What the library makes of ``TEXTS``, one at a time, in float32."""
    model = SentenceTransformer(str(find_model("all-MiniLM-L6-v2")), device="cpu", local_files_only=True)
    return np.stack([model.encode(text, normalize_embeddings=True, show_progress_bar=False) for text in TEXTS])


@pytest.fixture(scope="module")
def exact_embedder() -> TransformerEmbedder:
    return TransformerEmbedder.load("all-MiniLM-L6-v2", device="cpu", dtype="float32")


def embed(embedder: TransformerEmbedder, texts: list[str], kind: TextKind = TextKind.DOCUMENT) -> Vectors:
    return embedder.embed(embedder.tokenize(texts, kind))


def lowest_cosine(vectors: Vectors, expected: Vectors) -> float:
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    return float(np.sum(vectors * expected, axis=1).min())


def test_in_float32_vectors_equal_those_of_the_library(exact_embedder: TransformerEmbedder, reference: Vectors) -> None:
    assert lowest_cosine(embed(exact_embedder, TEXTS), reference) >= 0.9999
    assert exact_embedder.info.dtype == "float32"


def test_in_the_chosen_precision_vectors_are_near_those_of_the_library(
    embedder: TransformerEmbedder, reference: Vectors
) -> None:
    print(embedder.info.dtype, embedder.info.dtype_reason)  # noqa: T201
    assert lowest_cosine(embed(embedder, TEXTS), reference) >= PARITY
    assert PARITY >= 0.999


def test_a_text_has_the_same_vector_alone_and_in_a_batch(exact_embedder: TransformerEmbedder) -> None:
    together = embed(exact_embedder, TEXTS)
    alone = np.concatenate([embed(exact_embedder, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_padding_to_a_longer_neighbour_of_the_same_forward_changes_nothing(
    exact_embedder: TransformerEmbedder,
) -> None:
    words = exact_embedder.tokenize(["segment " * 38, "segment " * 30], TextKind.DOCUMENT)
    assert len(words[1]) > 0.75 * len(words[0]), "both are to share one forward"
    together = exact_embedder.embed(words)
    np.testing.assert_allclose(together[1], exact_embedder.embed(words[1:])[0], atol=2e-6)


def test_rows_keep_the_order_of_the_texts_whatever_their_lengths(exact_embedder: TransformerEmbedder) -> None:
    print("seed 5")  # noqa: T201
    order = np.random.default_rng(5).permutation(len(TEXTS))
    vectors = embed(exact_embedder, TEXTS)
    shuffled = embed(exact_embedder, [TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, vectors[order], atol=2e-6)


def test_an_empty_batch_gives_no_rows(exact_embedder: TransformerEmbedder) -> None:
    assert exact_embedder.embed([]).shape == (0, 384)


def test_vectors_are_float32(embedder: TransformerEmbedder) -> None:
    assert embed(embedder, ["keys"]).dtype == np.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="the default device is a GPU here, which runs untraced")
def test_the_forward_on_the_cpu_is_one_torchscript_call(
    embedder: TransformerEmbedder, exact_embedder: TransformerEmbedder
) -> None:
    """That is what lets go of the GIL from end to end: other threads run while a batch is embedded."""
    assert isinstance(embedder._launcher.forward, torch.jit.ScriptModule)
    assert isinstance(exact_embedder._launcher.forward, torch.jit.ScriptModule)


def test_info_describes_the_bundled_model(embedder: TransformerEmbedder) -> None:
    info = embedder.info
    assert (info.name, info.dimension, info.max_tokens) == ("all-MiniLM-L6-v2", 384, 256)
    assert info.fingerprint == fingerprint(find_model("all-MiniLM-L6-v2"))
    assert info.prompts == {TextKind.QUERY: "", TextKind.DOCUMENT: ""}
    assert info.dtype in {"float32", "bfloat16"}
    assert info.dtype_reason


def test_long_texts_are_truncated_to_the_limit_and_counted_whole(embedder: TransformerEmbedder) -> None:
    text = "segment " * 1000
    assert len(embedder.tokenize([text], TextKind.DOCUMENT)[0]) == 256
    assert embedder.count_tokens(text) == 1000


# A model made on the spot


def test_a_model_with_cls_pooling_loads_and_equals_the_library(tiny_model: Path) -> None:
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="float32")
    assert (embedder.info.name, embedder.info.dimension, embedder.info.max_tokens) == ("tiny-cls", 32, 32)
    model = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    expected = model.encode(TEXTS, normalize_embeddings=True, prompt="", show_progress_bar=False)
    assert lowest_cosine(embed(embedder, TEXTS), expected) >= 0.9999


def test_queries_get_the_prompt_of_the_model(tiny_model: Path) -> None:
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="float32")
    assert embedder.info.prompts == {TextKind.QUERY: "find this ", TextKind.DOCUMENT: ""}
    query = embedder.tokenize(["key"], TextKind.QUERY)
    assert query == embedder.tokenize(["find this key"], TextKind.DOCUMENT)
    model = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    expected = model.encode(["key"], normalize_embeddings=True, prompt_name="query", show_progress_bar=False)
    assert lowest_cosine(embedder.embed(query), expected) >= 0.9999


def test_a_precision_that_is_asked_for_is_named_with_its_parity(tiny_model: Path) -> None:
    info = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="bfloat16").info
    assert info.dtype in {"bfloat16", "float32"}
    assert "cosine" in info.dtype_reason


def test_a_precision_that_misses_the_parity_is_not_served(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.forms.PARITY", 1.5)  # no cosine reaches it
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="bfloat16")
    assert embedder.info.dtype == "float32"
    assert "below 1.5" in embedder.info.dtype_reason
    assert not isinstance(embedder._launcher.forward, torch.jit.ScriptModule), "nor is a traced form that misses it"
