"""CrossEncoderReranker against CrossEncoder.predict in float32, on tiny random folders."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from transformers import AutoModel, AutoModelForSequenceClassification

from models.base import (
    DeviceMemoryError,
    ModelNotFoundError,
    Reranker,
    TokenPair,
    UnsafeModelError,
    UnsupportedModelError,
    Vectors,
)
from models.cross_encoder import CrossEncoderReranker
from models.launching import InFlight, PaddedLauncher
from models.loading import fingerprint
from models.pair_precision import PARITY

# Arguments and result of the fixture ``backbone``.
Backbone = Callable[[str, type, Path], Path]
Plain = Callable[[str], Path]

MAX_TOKENS = 32
QUERY = "which row"
SENTENCE = "a tombstone marks each row as deleted until its segment is rebuilt from the store without it"
WORDS = SENTENCE.split()
# From nothing to many times the 32 tokens that these models read.
DOCUMENTS = [
    "",
    "?",
    *(" ".join(WORDS[i % 7 : i % 7 + 1 + i // 3]) for i in range(24)),
    SENTENCE * 5,
    "Grüße 世界 👩‍🚀 \u202e",
    "x" * 2000,
]


def padded_of(model: CrossEncoderReranker) -> PaddedLauncher[Any]:
    """What runs one shard of a batch."""
    launcher = getattr(model._launcher, "inner", model._launcher)
    assert isinstance(launcher, PaddedLauncher)
    return launcher


@dataclass(frozen=True)
class Case:
    folder: Path
    library: CrossEncoder
    reranker: CrossEncoderReranker


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Plain:
    """Folder of a name as transformers writes it, which is what most cross-encoders on the hub are."""

    def save(name: str) -> Path:
        folder = backbone(name, AutoModelForSequenceClassification, tmp_path_factory.mktemp(name) / "model")
        weights = load_file(folder / "model.safetensors")
        for key in weights.keys() & {"classifier.weight", "classifier.out_proj.weight"}:
            weights[key] *= 3  # as it comes, a random head scores all documents within a few hundredths
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return save


@pytest.fixture(scope="module", params=["bert", "bert-saved", "xlm-roberta", "xlm-roberta-saved", "modernbert"])
def case(request: pytest.FixtureRequest, plain: Plain) -> Case:
    """``-saved`` is the folder that CrossEncoder.save makes of the plain one, with a modules.json."""
    folder = plain(request.param.removesuffix("-saved"))
    if request.param.endswith("-saved"):
        CrossEncoder(str(folder), device="cpu").save(str(folder.parent / "saved"))
        folder = folder.parent / "saved"
    library = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    return Case(folder, library, CrossEncoderReranker.load(str(folder), device="cpu", dtype="float32"))


@pytest.fixture
def folder(plain: Plain, tmp_path: Path) -> Path:
    """A BERT to break."""
    return Path(shutil.copytree(plain("bert"), tmp_path / "model"))


@pytest.fixture
def xlm_roberta(plain: Plain, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain("xlm-roberta"), tmp_path / "model"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))


def load(folder: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker.load(str(folder), device="cpu", dtype="float32")


def score(reranker: Reranker, query: str, documents: list[str]) -> Vectors:
    return reranker.score(reranker.tokenize(query, documents))


def expected(library: CrossEncoder, query: str, documents: list[str]) -> Vectors:
    """What the library makes of them one at a time, so that its own padding has no part in it."""
    pairs = [[(query, document)] for document in documents]
    return np.stack([library.predict(pair, show_progress_bar=False) for pair in pairs])


# Scores


@pytest.mark.parametrize("query", [QUERY, "", "?", "a query of many more words than half the limit " * 2])
def test_in_float32_scores_equal_those_of_the_library(case: Case, query: str) -> None:
    scores, wanted = score(case.reranker, query, DOCUMENTS), expected(case.library, query, DOCUMENTS)
    assert scores.shape == (len(DOCUMENTS), 1)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_documents_are_ranked_as_the_library_ranks_them(case: Case) -> None:
    wanted = expected(case.library, QUERY, DOCUMENTS)[:, 0]
    assert np.ptp(wanted) > 0.1, "the documents are to differ"
    _, different = np.unique(wanted.round(4), return_index=True)
    documents = [DOCUMENTS[row] for row in different]
    ranked = np.argsort(-score(case.reranker, QUERY, documents)[:, 0])
    assert [documents[row] for row in ranked] == documents[::-1]


def test_rows_keep_the_order_of_the_pairs_whatever_their_lengths(case: Case) -> None:
    print("seed 5")  # noqa: T201
    order = np.random.default_rng(5).permutation(len(DOCUMENTS))
    scores = score(case.reranker, QUERY, DOCUMENTS)
    shuffled = score(case.reranker, QUERY, [DOCUMENTS[row] for row in order])
    np.testing.assert_allclose(shuffled, scores[order], atol=1e-5)


def test_a_pair_has_the_same_score_alone_and_in_a_batch(case: Case) -> None:
    pairs = case.reranker.tokenize(QUERY, DOCUMENTS)
    alone = np.concatenate([case.reranker.score([pair]) for pair in pairs])
    np.testing.assert_allclose(case.reranker.score(pairs), alone, atol=1e-5)


def test_pairs_of_different_queries_share_a_batch(case: Case) -> None:
    pairs = [case.reranker.tokenize(query, ["the row is off"])[0] for query in ("a row", "its store", "")]
    wanted = np.concatenate([case.reranker.score([pair]) for pair in pairs])
    np.testing.assert_allclose(case.reranker.score(pairs), wanted, atol=1e-5)


def test_an_empty_batch_gives_no_rows(case: Case) -> None:
    assert case.reranker.tokenize(QUERY, []) == []
    assert case.reranker.score([]).shape == (0, 1)


def test_the_forward_counts_the_tokens_it_computes(case: Case) -> None:
    pairs = case.reranker.tokenize("", ["the row", "the ro", SENTENCE])
    launched = padded_of(case.reranker).costing(8).launch(pairs)
    short, shorter, long = map(len, pairs)
    assert 0.75 * short <= shorter < short < 0.75 * long
    assert launched.computed_tokens == 2 * short + long


def test_the_forward_on_the_cpu_is_one_torchscript_call(case: Case) -> None:
    assert isinstance(padded_of(case.reranker).forward, torch.jit.ScriptModule)


@pytest.mark.parametrize("tokens", [1, 31, 32, 100])
def test_warming_up_fits_any_batch_size_and_takes_no_device_memory(case: Case, tokens: int) -> None:
    assert case.reranker.warm_up(tokens) == 0


def test_warming_up_runs_many_short_pairs_and_few_long_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = load(folder)
    shapes = []
    launch = reranker.launch
    monkeypatch.setattr(
        reranker, "launch", lambda batch: shapes.append((len(batch), *{len(pair) for pair in batch})) or launch(batch)
    )
    reranker.warm_up(96)
    assert shapes == [(16, 8), (4, 32)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_launches_are_in_flight_and_equal_the_cpu(folder: Path) -> None:
    reranker = CrossEncoderReranker.load(str(folder), device="cuda:0", dtype="float32")
    assert reranker.warm_up(1024) > 0
    pairs = reranker.tokenize(QUERY, DOCUMENTS)
    launched = [reranker.launch(pairs), reranker.launch(pairs[:3])]
    assert all(isinstance(one, InFlight) for one in launched)
    expected = load(folder).score(pairs)
    np.testing.assert_allclose(launched[0].result(), expected, atol=1e-3)
    np.testing.assert_allclose(launched[1].result(), expected[:3], atol=1e-3)
    with pytest.raises(DeviceMemoryError):
        reranker.score(pairs[-1:] * 4_000_000)
    assert reranker.score(pairs[:1]).shape == (1, 1)


# Tokens


def test_ids_and_types_equal_those_of_the_library(case: Case) -> None:
    for query in (QUERY, "", "a query of many more words than half the limit " * 2):
        for document, pair in zip(DOCUMENTS, case.reranker.tokenize(query, DOCUMENTS), strict=True):
            features = case.library.preprocess([(query, document)])
            assert pair.ids == features["input_ids"][0].tolist(), document
            if "token_type_ids" in features:
                assert pair.type_ids == features["token_type_ids"][0].tolist(), document
            assert len(pair) <= MAX_TOKENS


def test_of_a_pair_that_is_too_long_the_document_is_cut(folder: Path) -> None:
    reranker = load(folder)
    short, long = reranker.tokenize(QUERY, ["", SENTENCE])
    query = short.ids[:-1]
    assert len(long) == MAX_TOKENS == reranker.info.max_tokens
    assert long.ids[: len(query)] == query
    assert long.type_ids == [0] * len(query) + [1] * (MAX_TOKENS - len(query))


def test_a_query_is_cut_only_where_it_takes_more_than_half(folder: Path) -> None:
    (pair,) = load(folder).tokenize("x" * 14 + " " + "y" * 30, ["row"])
    assert len(pair) == MAX_TOKENS
    assert pair.type_ids.count(1) == 4, "the document and its closing token are whole"


def test_types_reach_a_model_that_knows_them(folder: Path) -> None:
    reranker = load(folder)
    (pair,) = reranker.tokenize(QUERY, ["the row"])
    assert {0, 1} == set(pair.type_ids)
    untyped = TokenPair(pair.ids, [0] * len(pair))
    assert abs(reranker.score([pair]) - reranker.score([untyped])) > 1e-3


def test_types_are_kept_from_a_model_that_knows_none(xlm_roberta: Path) -> None:
    reranker = load(xlm_roberta)
    (pair,) = reranker.tokenize(QUERY, ["the row"])
    typed = TokenPair(pair.ids, [1] * len(pair))  # outside of its table of one type
    np.testing.assert_array_equal(reranker.score([typed]), reranker.score([pair]))


def test_a_model_with_fewer_positions_than_its_tokenizer_says_is_never_asked_for_more(xlm_roberta: Path) -> None:
    """RoBERTa's table of 66 starts with 2 rows for padding: 64 tokens are its limit, whatever the tokenizer says."""
    edit(xlm_roberta / "tokenizer_config.json", model_max_length=512)
    reranker = load(xlm_roberta)
    assert reranker.info.max_tokens == 64
    assert np.isfinite(score(reranker, QUERY, ["the row " * 100])).all()


def test_the_default_prompt_of_the_folder_comes_before_the_query(folder: Path) -> None:
    CrossEncoder(str(folder), device="cpu").save(str(folder / "saved"))
    edit(folder / "saved/config_sentence_transformers.json", prompts={"rank": "find "}, default_prompt_name="rank")
    reranker = load(folder / "saved")
    assert reranker.tokenize("key", DOCUMENTS) == load(folder).tokenize("find key", DOCUMENTS)
    library = CrossEncoder(str(folder / "saved"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(score(reranker, "key", ["row"]), expected(library, "key", ["row"]), atol=1e-4)


def test_eight_threads_at_once_get_what_one_thread_gets(case: Case) -> None:
    documents = DOCUMENTS * 5
    wanted = case.reranker.tokenize(QUERY, documents)
    together = Barrier(8)

    def work(_: int) -> list[list[TokenPair]]:
        together.wait(timeout=200)
        return [case.reranker.tokenize(QUERY, documents) for _ in range(5)]

    with ThreadPoolExecutor(8) as threads:
        results = [result for results in threads.map(work, range(8)) for result in results]
    assert len(results) == 40
    assert all(result == wanted for result in results)


# Activation


def logits(scores: Vectors) -> Vectors:
    return np.log(scores / (1 - scores))


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
        ("config_sentence_transformers.json", {"activation_fn": "torch.nn.modules.linear.Identity"}),
    ],
)
def test_a_folder_may_ask_for_logits(folder: Path, file: str, values: dict[str, object]) -> None:
    CrossEncoder(str(folder), device="cpu").save(str(folder / "saved"))
    probabilities = score(load(folder / "saved"), QUERY, DOCUMENTS)
    if file == "config.json":
        (folder / "saved/config_sentence_transformers.json").unlink()
        (folder / "saved/modules.json").unlink()
    edit(folder / "saved" / file, **values)
    scores = score(load(folder / "saved"), QUERY, DOCUMENTS)
    library = CrossEncoder(str(folder / "saved"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(scores, expected(library, QUERY, DOCUMENTS), atol=1e-4)
    np.testing.assert_allclose(scores, logits(probabilities), atol=1e-3)


def test_without_a_word_on_it_scores_are_probabilities(case: Case) -> None:
    scores = score(case.reranker, QUERY, DOCUMENTS)
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("path", ["torch.nn.Tanh", "hostile.Sigmoid", "torch.utils.collect_env.main", "torch.nn.None"])
def test_another_activation_is_refused_and_never_called(folder: Path, path: str) -> None:
    edit(folder / "config.json", sbert_ce_default_activation_function=path)
    with pytest.raises(UnsupportedModelError, match="known are Sigmoid, Identity") as error:
        load(folder)
    assert path in str(error.value)


# Precision


def test_in_bfloat16_scores_stay_near_those_of_the_library(case: Case) -> None:
    reranker = CrossEncoderReranker.load(str(case.folder), device="cpu", dtype="bfloat16")
    print(reranker.info.dtype, reranker.info.dtype_reason)  # noqa: T201
    difference = np.abs(score(reranker, QUERY, DOCUMENTS) - expected(case.library, QUERY, DOCUMENTS)).max()
    assert "of float32" in reranker.info.dtype_reason or "from float32" in reranker.info.dtype_reason
    assert difference <= (1e-4 if reranker.info.dtype == "float32" else 2 * PARITY)


def test_a_bfloat16_head_would_tie_what_a_float32_head_tells_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.pair_precision.PARITY", 1.0)
    edit(folder / "config.json", sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")
    reranker = CrossEncoderReranker.load(str(folder), device="cpu", dtype="bfloat16")
    assert reranker.info.dtype == "bfloat16"
    scores = score(reranker, QUERY, DOCUMENTS)
    rounded = torch.from_numpy(scores).bfloat16().float().numpy()
    assert (scores != rounded).any()


def test_a_precision_that_misses_the_parity_is_not_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.pair_precision.PARITY", -1.0)
    info = CrossEncoderReranker.load(str(folder), device="cpu", dtype="bfloat16").info
    assert info.dtype == "float32"
    assert "more than -1.0" in info.dtype_reason


def test_the_chosen_precision_is_named_with_its_reason(folder: Path) -> None:
    info = CrossEncoderReranker.load(str(folder)).info
    print(info.dtype, info.dtype_reason)  # noqa: T201
    assert info.dtype in {"float32", "bfloat16"}
    assert "speed of float32" in info.dtype_reason or "from float32" in info.dtype_reason


def test_info_describes_the_folder(folder: Path) -> None:
    info = load(folder).info
    assert (info.name, info.max_tokens, info.device, info.dtype) == ("model", MAX_TOKENS, "cpu", "float32")
    assert info.dtype_reason == "asked for"
    assert info.fingerprint == fingerprint(folder)


def test_a_forward_that_does_not_fit_is_a_typed_error_and_the_next_one_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = load(folder)
    pairs = reranker.tokenize(QUERY, ["the row"])

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(padded_of(reranker), "forward", refuse)
        with pytest.raises(DeviceMemoryError, match="cpu ran out of memory: tried to allocate 2 GiB") as error:
            reranker.launch(pairs)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None, "it would keep the failed forward's tensors"
    assert reranker.score(pairs).shape == (1, 1)


# Folders that are refused


@pytest.mark.parametrize("name", ["nobody/no-such-model", "/no/such/folder", "not a name!", "~no-one/x"])
def test_an_unknown_name_is_a_typed_error_that_names_it(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as error:
        CrossEncoderReranker.load(name)
    assert name in str(error.value)


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=reason) as error:
        CrossEncoderReranker.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)


def test_a_classifier_with_several_labels_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights |= {"classifier.weight": torch.zeros(3, 32), "classifier.bias": torch.zeros(3)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(
        folder / "config.json", id2label={"0": "no", "1": "maybe", "2": "yes"}, label2id={"no": 0, "maybe": 1, "yes": 2}
    )
    refused(folder, "has 3 labels; a reranker has one")


def test_an_embedder_is_refused_rather_than_given_a_random_head(tiny_model: Path) -> None:
    refused(tiny_model, "is not a cross-encoder: its config.json names BertModel")


def test_weights_without_a_head_are_refused_rather_than_given_a_random_one(folder: Path, backbone: Backbone) -> None:
    config = (folder / "config.json").read_text()
    backbone("bert", AutoModel, folder)
    (folder / "config.json").write_text(config)
    refused(folder, r"its weights lack classifier\.\w+ and 1 more")


@pytest.mark.parametrize("part", ["pooler.dense.weight", "attention.self.query.weight"])
def test_weights_that_lack_a_part_the_scores_go_through_are_refused(folder: Path, part: str) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.endswith(part)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, f"its weights lack .*{part}")


def test_weights_that_give_no_numbers_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = torch.full((1,), torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModelError, match="scores in float32 are not numbers"):
        load(folder)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"beyond{i}": i for i in range(len(vocabulary), 65)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(folder, "embeddings for 64 tokens and a tokenizer of 65")


def test_pickled_weights_alone_are_refused_unread(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match=r"pytorch_model\.bin but no \.safetensors"):
        load(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, r"no \.safetensors weights")


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(folder, "has no tokenizer")


@pytest.mark.parametrize("kept", [0, 4, 100, 20_000])
def test_truncated_weights_are_a_typed_error(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    refused(folder, "cannot be loaded")


@pytest.mark.parametrize("text", ["{ not json", "", "[]", "\x00", "null"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_broken_configuration_is_a_typed_error(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    refused(folder, r"cannot be (loaded|read|run)|holds a")


def test_a_folder_without_a_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, r"config\.json cannot be read")


def test_an_architecture_that_only_the_folders_code_knows_is_refused_unrun(folder: Path) -> None:
    marker = folder.parent / "ran"
    (folder / "hostile.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    classes = {"AutoConfig": "hostile.Config", "AutoModelForSequenceClassification": "hostile.Model"}
    edit(folder / "config.json", model_type="hostile", auto_map=classes)
    refused(folder, "custom code")
    assert not marker.exists()
