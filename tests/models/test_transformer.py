"""TransformerEmbedder against SentenceTransformer.encode in float32."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.base import DeviceMemoryError, TextKind, UnsupportedModelError, Vectors
from models.launching import PaddedLauncher
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


def padded_of(model: TransformerEmbedder) -> PaddedLauncher[Any]:
    """What runs one shard of a batch."""
    launcher = getattr(model._launcher, "inner", model._launcher)
    assert isinstance(launcher, PaddedLauncher)
    return launcher


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
    assert isinstance(padded_of(embedder).forward, torch.jit.ScriptModule)
    assert isinstance(padded_of(exact_embedder).forward, torch.jit.ScriptModule)


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
    assert not isinstance(padded_of(embedder).forward, torch.jit.ScriptModule), "nor is a traced form that misses it"


# What runs, and why


def test_the_form_that_runs_is_named_with_its_reason(embedder: TransformerEmbedder) -> None:
    info = embedder.info
    print(info.forward, info.forward_reason)  # noqa: T201
    assert info.forward in {"traced bert", "traced bert, weights prepacked", "varlen bert", "padded bert"}
    assert "cosine" in info.forward_reason
    if info.device == "cpu":
        assert embedder.graph_counts is None
        assert embedder.warm_up(600) == 0


def test_a_form_that_fails_gives_way_to_the_library_and_says_why(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr("models.sentence.BertForward.forward", fail)
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="float32")
    assert embedder.info.forward == "traced generic"
    assert "traced bert fails with RuntimeError: no kernel for this" in embedder.info.forward_reason
    assert lowest_cosine(embed(embedder, TEXTS), of_library(tiny_model)) >= 0.9999


def test_a_form_with_other_vectors_gives_way_to_the_library(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_: object, ids: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(ids[:, :1] + torch.arange(32.0), dim=1)

    monkeypatch.setattr("models.sentence.BertForward.forward", other)
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="float32")
    assert embedder.info.forward == "traced generic"
    assert "traced bert has cosine" in embedder.info.forward_reason
    assert lowest_cosine(embed(embedder, TEXTS), of_library(tiny_model)) >= 0.9999


def test_computed_tokens_count_the_padding_and_stay_near_the_true_ones(exact_embedder: TransformerEmbedder) -> None:
    rows = exact_embedder.tokenize(TEXTS, TextKind.DOCUMENT)
    true = sum(map(len, rows))
    launched = exact_embedder.launch(rows)
    groups = 1 + math.log(max(map(len, rows)) / min(map(len, rows))) / math.log(4 / 3)
    assert true <= launched.computed_tokens <= 4 / 3 * true + 512 * groups
    assert exact_embedder.launch(rows[:1]).computed_tokens == len(rows[0])
    assert exact_embedder.launch([]).computed_tokens == 0


def test_a_forward_that_runs_out_of_memory_is_a_typed_error_and_the_next_one_runs(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="float32")
    with monkeypatch.context() as patch:
        patch.setattr(padded_of(embedder), "forward", lambda *_: torch.empty(1 << 60, dtype=torch.uint8))
        with pytest.raises(DeviceMemoryError, match="cpu ran out of memory"):
            embedder.launch([[2, 5, 3]])
    assert embedder.embed([[2, 5, 3]]).shape == (1, 32)


# What the folder declares


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def declare(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def of_library(folder: Path, how: str = "encode_document") -> Vectors:
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    vectors: Vectors = getattr(model, how)(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    return vectors


def test_the_lengths_a_matryoshka_model_may_be_cut_to_are_told(folder: Path) -> None:
    declare(folder / "config.json", matryoshka_dimensions=[16, 8, 32, 8])
    info = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info
    assert (info.dimension, info.matryoshka) == (32, (8, 16))


@pytest.mark.parametrize("declared", ["8", [0], ["8"], {"8": 8}])
def test_lengths_that_are_none_are_refused(folder: Path, declared: object) -> None:
    declare(folder / "config.json", matryoshka_dimensions=declared)
    with pytest.raises(UnsupportedModelError, match="matryoshka_dimensions"):
        TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")


def test_a_model_that_is_served_cut_gives_unit_vectors_of_that_length(folder: Path) -> None:
    declare(folder / "config.json", matryoshka_dimensions=[8, 12, 16])
    declare(folder / "config_sentence_transformers.json", truncate_dim=12)
    embedder = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")
    assert (embedder.info.dimension, embedder.info.matryoshka) == (12, (8,))
    assert lowest_cosine(embed(embedder, TEXTS), of_library(folder)) >= 0.9999


@pytest.mark.parametrize(
    ("prompts", "default"),
    [
        ({"query": "ask ", "document": "tell "}, None),
        ({"query": "ask ", "passage": "tell "}, None),
        ({"passage": "tell "}, "passage"),
        ({}, None),
    ],
)
def test_prompts_are_those_the_library_puts_before_queries_and_documents(
    folder: Path, prompts: dict[str, str], default: str | None
) -> None:
    declare(folder / "config_sentence_transformers.json", prompts=prompts, default_prompt_name=default)
    embedder = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")
    for kind in TextKind:
        expected = of_library(folder, f"encode_{kind.value}")
        assert lowest_cosine(embed(embedder, TEXTS, kind), expected) >= 0.9999


def test_a_model_that_leaves_its_prompt_out_of_the_pooling_is_refused(folder: Path) -> None:
    declare(folder / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(UnsupportedModelError, match="include_prompt"):
        TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")
    declare(folder / "config_sentence_transformers.json", prompts={})
    assert TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info.prompts[TextKind.QUERY] == ""


def test_queries_that_are_cut_shorter_than_documents_are_refused(folder: Path) -> None:
    declare(folder / "sentence_bert_config.json", query_length=8)
    with pytest.raises(UnsupportedModelError, match="makes more of a query"):
        TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")


@pytest.mark.parametrize("mode", ["lasttoken", "mean", "max", "weightedmean"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_padded_on_the_side_of_the_tokenizer(folder: Path, side: str, mode: str) -> None:
    declare(folder / "tokenizer_config.json", padding_side=side)
    declare(folder / "1_Pooling" / "config.json", pooling_mode=mode)
    embedder = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")
    # One forward for all, so that the rectangle is the library's, in which a BERT's positions depend on the side.
    embedder._launcher = padded_of(embedder).costing(1e9)
    assert lowest_cosine(embed(embedder, TEXTS), of_library(folder)) >= 0.9999
