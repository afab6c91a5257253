"""What tests of several rooms share."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

# Read by huggingface_hub when it is imported, so it is set before anything here imports it.
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from redis_process import RedisProcess, redis_command

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from transformers import PreTrainedTokenizerFast

    from models.transformer import TransformerEmbedder

pytest_plugins = ["milvus_lite"]

# How long an example takes says how busy the machine is.
settings.register_profile("quarry", deadline=None)
settings.load_profile("quarry")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WIDTH = 32


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later collection: to look through torch's modules again took a sixth."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium. Not for longer than a module: as long as it lives, no test of its thread can run an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, which root does not get: it opens what these tests serve, and nothing else.
        launched = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def embedder() -> "TransformerEmbedder":
    """The bundled all-MiniLM-L6-v2, as a default installation serves it."""
    from models.transformer import TransformerEmbedder  # noqa: PLC0415  torch loads only where it is used

    return TransformerEmbedder.load("all-MiniLM-L6-v2")


def _tiny_bert() -> "tuple[dict[str, int], PreTrainedTokenizerFast]":
    """Dimensions of a tiny BERT over letters, and its tokenizer."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors  # noqa: PLC0415  as above
    from tokenizers.models import WordPiece  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **special)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 2 * _WIDTH}
    return {"vocab_size": len(vocabulary), "hidden_size": _WIDTH, "max_position_embeddings": 128, **shape}, fast


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT of 32 dimensions, served as `tiny-embedder`."""
    import torch  # noqa: PLC0415  as above
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: PLC0415
    from transformers import BertConfig, BertModel  # noqa: PLC0415

    parts, folder = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("models") / "tiny-embedder"
    shape, tokenizer = _tiny_bert()
    torch.manual_seed(7)
    tokenizer.save_pretrained(parts)
    BertModel(BertConfig(**shape)).save_pretrained(parts)
    modules = [Transformer(str(parts), max_seq_length=128), Pooling(_WIDTH, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random cross-encoder with one label, served as `tiny-reranker`."""
    import torch  # noqa: PLC0415  as above
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("models") / "tiny-reranker"
    shape, tokenizer = _tiny_bert()
    torch.manual_seed(8)
    tokenizer.save_pretrained(folder)
    BertForSequenceClassification(BertConfig(num_labels=1, **shape)).save_pretrained(folder)
    return folder


def _redis() -> Iterator[RedisProcess]:
    command = redis_command()
    pytest.importorskip("redis", reason="the extra redis is not installed")
    folder = Path(tempfile.mkdtemp(prefix="quarry-redis-"))  # the path of a socket is 107 bytes at most
    process = RedisProcess(folder, command)
    try:
        process.start()
        yield process
    finally:
        process.kill()
        shutil.rmtree(folder)


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    """A server of the test's own."""
    yield from _redis()


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisProcess]:
    """As ``redis``, until the tests of the module are over."""
    yield from _redis()
