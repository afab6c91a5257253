"""TransformerEmbedder against SentenceTransformer.encode on tiny random folders of every shape that is served."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import AutoModel

from models.base import TextKind, UnsafeModelError, UnsupportedModelError, Vectors
from models.parity import PARITY
from models.reference import reference_vectors
from models.sentence import BertForward
from models.transformer import TransformerEmbedder

# Arguments and result of the fixture ``backbone``.
Backbone = Callable[[str, type, Path], Path]
SaveShape = Callable[[str], Path]

SENTENCE = "a tombstone marks each row as deleted until its segment is rebuilt from the store without it"
WORDS = SENTENCE.split()
# From nothing to many times the 32 tokens that these models read.
TEXTS = [
    "",
    "?",
    *(" ".join(WORDS[i % 7 : i % 7 + 1 + i // 3]) for i in range(24)),
    SENTENCE * 5,
    "Grüße 世界 👩‍🚀 \u202e",
    "x" * 2000,
]


@dataclass(frozen=True)
class Shape:
    """A folder's modules after its transformer, and its prompts."""

    backbone: str
    pooling: str
    projected: bool = False
    prompts: dict[str, str] = field(default_factory=dict)


SHAPES = {
    "bert-mean": Shape("bert", "mean"),
    "bert-cls": Shape("bert", "cls"),
    "bert-mean-dense-normalize": Shape("bert", "mean", projected=True),
    "modernbert": Shape("modernbert", "mean", prompts={"query": "search_query: ", "document": "search_document: "}),
    "xlm-roberta": Shape("xlm-roberta", "mean", prompts={"query": "query: ", "passage": "passage: "}),
    "mpnet": Shape("mpnet", "mean"),
    "qwen3-embedding": Shape(
        "qwen3", "lasttoken", prompts={"query": "Instruct: find\nQuery:", "document": ""}
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    folder: Path
    reference: SentenceTransformer
    embedder: TransformerEmbedder


def _modules(shape: Shape, transformer: Path) -> list[torch.nn.Module]:
    modules: list[torch.nn.Module] = [Transformer(str(transformer)), Pooling(32, pooling_mode=shape.pooling)]
    if shape.projected:
        torch.manual_seed(3)
        modules.append(Dense(32, 16, bias=True))
    if shape.projected or shape.backbone == "qwen3":
        modules.append(Normalize())
    return modules


@pytest.fixture(scope="module")
def save_shape(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> SaveShape:
    """Folder of the model of a name, as SentenceTransformer.save writes it."""

    def save(name: str) -> Path:
        shape = SHAPES[name]
        folder = tmp_path_factory.mktemp(name)
        modules = _modules(shape, backbone(shape.backbone, AutoModel, folder / "transformer"))
        SentenceTransformer(modules=modules, device="cpu", prompts=shape.prompts).save(str(folder / "model"))
        return folder / "model"

    return save


@pytest.fixture(scope="module", params=SHAPES)
def case(request: pytest.FixtureRequest, save_shape: SaveShape) -> Case:
    folder = save_shape(request.param)
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return Case(folder, reference, TransformerEmbedder.load(str(folder), device="cpu", dtype="float32"))


def prompt_of(case: Case, kind: TextKind) -> str:
    """What encode_query and encode_document take: the library's empty "document" even where there is a "passage"."""
    return case.reference.prompts[kind.value]


def expected(case: Case, kind: TextKind) -> Vectors:
    """What the library makes of ``TEXTS``, one at a time, so that its own padding has no part in it."""
    options = {"prompt": prompt_of(case, kind), "normalize_embeddings": True, "show_progress_bar": False}
    return np.stack([case.reference.encode(text, **options) for text in TEXTS])


def embed(embedder: TransformerEmbedder, texts: list[str], kind: TextKind = TextKind.DOCUMENT) -> Vectors:
    return embedder.embed(embedder.tokenize(texts, kind))


def alone(embedder: TransformerEmbedder, kind: TextKind = TextKind.DOCUMENT) -> Vectors:
    return np.concatenate([embed(embedder, [text], kind) for text in TEXTS])


def cosines(vectors: Vectors, wanted: Vectors) -> Vectors:
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    return np.sum(vectors * wanted, axis=1)


def test_the_texts_tell_the_models_apart(case: Case) -> None:
    """Were all vectors alike, nothing below would fail."""
    vectors = expected(case, TextKind.DOCUMENT)
    similarities = vectors @ vectors.T
    assert np.median(similarities[np.triu_indices(len(TEXTS), 1)]) < 0.98


@pytest.mark.parametrize("kind", TextKind)
def test_texts_alone_equal_those_of_the_library(case: Case, kind: TextKind) -> None:
    np.testing.assert_allclose(alone(case.embedder, kind), expected(case, kind), atol=1e-4)


@pytest.mark.parametrize("kind", TextKind)
def test_texts_in_one_batch_equal_those_of_the_library(case: Case, kind: TextKind) -> None:
    np.testing.assert_allclose(embed(case.embedder, TEXTS, kind), expected(case, kind), atol=1e-4)


def test_a_neighbour_that_is_a_little_longer_changes_nothing(case: Case) -> None:
    """Both share one forward, where the shorter is padded: on the side that the model was made for, and masked."""
    ids = case.embedder.tokenize(["the row is off", "the row is o"], TextKind.DOCUMENT)
    assert 0.75 * len(ids[0]) < len(ids[1]) < len(ids[0]), "both are to share one forward"
    together = case.embedder.embed(ids)
    np.testing.assert_allclose(together, np.concatenate([case.embedder.embed([row]) for row in ids]), atol=1e-5)


def test_ids_equal_those_of_the_library(case: Case) -> None:
    ids = case.embedder.tokenize(TEXTS, TextKind.DOCUMENT)
    prompt = prompt_of(case, TextKind.DOCUMENT)
    for text, row in zip(TEXTS, ids, strict=True):
        assert row == case.reference.preprocess([text], prompt=prompt)["input_ids"][0].tolist(), text


def test_info_gives_the_folders_limits_and_prompts(case: Case) -> None:
    info = case.embedder.info
    assert info.max_tokens == 32
    assert info.dimension == expected(case, TextKind.QUERY).shape[1]
    assert info.prompts == {kind: prompt_of(case, kind) for kind in TextKind}


def test_bfloat16_is_near_float32_or_is_not_served(case: Case) -> None:
    embedder = TransformerEmbedder.load(str(case.folder), device="cpu", dtype="bfloat16")
    print(embedder.info.dtype, embedder.info.dtype_reason)  # noqa: T201
    lowest = cosines(embed(embedder, TEXTS), expected(case, TextKind.DOCUMENT)).min()
    if embedder.info.dtype == "float32":
        assert f"below {PARITY}" in embedder.info.dtype_reason
        assert lowest >= 0.9999
    else:
        assert embedder.info.dtype == "bfloat16"
        assert lowest >= 0.999


# What a folder says of itself


@pytest.fixture
def folder(save_shape: SaveShape, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(save_shape("bert-mean"), tmp_path / "model"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_lengths_that_vectors_may_be_cut_to_are_reported_ascending_without_the_whole(folder: Path) -> None:
    edit(folder / "config.json", matryoshka_dimensions=[16, 32, 8])
    info = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info
    assert info.dimension == 32
    assert info.matryoshka == (8, 16)


def test_a_folder_that_names_no_shorter_lengths_has_none(folder: Path) -> None:
    assert TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info.matryoshka == ()


@pytest.fixture
def xlm_roberta(save_shape: SaveShape, tmp_path: Path) -> Path:
    return Path(shutil.copytree(save_shape("xlm-roberta"), tmp_path / "xlm-roberta"))


def test_a_folder_without_a_limit_is_held_to_its_positions(xlm_roberta: Path) -> None:
    """RoBERTa's table of 66 starts with 2 rows for padding; the library would go on to 66 and fail there."""
    path = xlm_roberta / "tokenizer_config.json"
    path.write_text(
        json.dumps({key: v for key, v in json.loads(path.read_text()).items() if key != "model_max_length"})
    )
    embedder = TransformerEmbedder.load(str(xlm_roberta), device="cpu", dtype="float32")
    assert embedder.info.max_tokens == 64
    assert len(embedder.tokenize([SENTENCE * 5], TextKind.DOCUMENT)[0]) == 64
    assert np.isfinite(embed(embedder, [SENTENCE * 5])).all()


def test_text_is_lower_cased_where_the_folder_asks(xlm_roberta: Path) -> None:
    edit(xlm_roberta / "sentence_bert_config.json", do_lower_case=True)
    embedder = TransformerEmbedder.load(str(xlm_roberta), device="cpu", dtype="float32")
    upper, lower = embedder.tokenize(["THE ROW", "the row"], TextKind.DOCUMENT)
    assert upper == lower


def test_the_oracle_takes_the_prompt_that_the_embedder_takes(case: Case) -> None:
    texts = TEXTS[:8]
    vectors = embed(case.embedder, texts)
    np.testing.assert_allclose(vectors, reference_vectors(str(case.folder), texts), atol=1e-4)


def test_a_form_that_loses_the_mask_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one length would not tell: the probes have to be padded in one batch."""
    forward = BertForward.forward
    monkeypatch.setattr(BertForward, "forward", lambda self, ids, mask: forward(self, ids, torch.ones_like(mask)))
    embedder = TransformerEmbedder.load(str(folder), device="cpu", dtype="float32")
    assert embedder.info.forward == "traced generic"


# Folders that bring code


@pytest.fixture
def ran(folder: Path) -> Path:
    """A file that exists as soon as anything has imported the folder's own code."""
    marker = folder.parent / "ran"
    code = (
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import BertConfig, BertModel\n"
        "from sentence_transformers.base.modules import Transformer\n"
        "class HostileConfig(BertConfig):\n    model_type = 'hostile'\n"
        "class HostileModel(BertModel):\n    pass\n"
        "class HostileModule(Transformer):\n    pass\n"
    )
    (folder / "hostile.py").write_text(code)
    return marker


AUTO_MAP = {"AutoConfig": "hostile.HostileConfig", "AutoModel": "hostile.HostileModel"}


def test_an_architecture_that_only_the_folders_code_knows_is_refused_unrun(folder: Path, ran: Path) -> None:
    edit(folder / "config.json", model_type="hostile", auto_map=AUTO_MAP)
    with pytest.raises(UnsupportedModelError, match="custom code") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)
    assert not ran.exists()


def test_a_module_from_the_folders_code_is_refused_unrun(folder: Path, ran: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "hostile.HostileModule"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsafeModelError, match=r"hostile\.HostileModule") as error:
        TransformerEmbedder.load(str(folder), device="cpu")
    assert str(folder) in str(error.value)
    assert not ran.exists()


def test_code_beside_a_known_architecture_is_not_run(folder: Path, ran: Path) -> None:
    """Transformers has its own BERT, so the model loads; the folder's version of it stays a file."""
    edit(folder / "config.json", auto_map=AUTO_MAP)
    assert TransformerEmbedder.load(str(folder), device="cpu", dtype="float32").info.dimension == 32
    assert not ran.exists()
