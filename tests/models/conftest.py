"""A tiny model folder made on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
MAX_TOKENS = 32


def _tokenizer() -> PreTrainedTokenizerFast:
    ids = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MAX_TOKENS,
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 32 dimensions with [CLS] pooling and a prompt for queries."""
    folder = tmp_path_factory.mktemp("tiny")
    _tokenizer().save_pretrained(folder / "transformer")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder / "transformer")
    modules = [Transformer(str(folder / "transformer"), max_seq_length=MAX_TOKENS), Pooling(32, pooling_mode="cls")]
    model = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "find this ", "document": ""})
    model.save(str(folder / "tiny-cls"))
    return folder / "tiny-cls"


@pytest.fixture
def pretend_on_gpu() -> Callable[[nn.Module, torch.dtype], None]:
    """Replaces every weight of a module by a fake of its shape on a GPU; to be called within a FakeTensorMode."""

    def replace(module: nn.Module, dtype: torch.dtype) -> None:
        for part in module.modules():
            for name, weight in list(part._parameters.items()):
                if weight is not None:
                    fake = torch.empty(weight.shape, dtype=dtype, device="cuda")
                    part._parameters[name] = nn.Parameter(fake, requires_grad=False)

    return replace
