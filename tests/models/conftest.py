"""Tiny model folders made on the spot, one backbone for every shape of transformer that is served."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    BertTokenizer,
    ModernBertConfig,
    MPNetConfig,
    MPNetTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Qwen2Tokenizer,
    Qwen3Config,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
MAX_TOKENS = 32
# Weights far above the usual 0.02: with those a random model gives nearly the same vector for any two texts, and a
# comparison would pass whatever was lost on the way.
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SPREAD = {"initializer_range": 0.2}

# Saves the tokenizer and a random model of a backbone into the folder; the second argument is the class of the model.
Backbone = Callable[[str, type, Path], Path]


def _bert() -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    tokenizer = BertTokenizer({token: i for i, token in enumerate([*VOCABULARY, "[MASK]"])})
    return tokenizer, BertConfig(vocab_size=64, max_position_embeddings=64, **SIZES, **SPREAD)


def _modernbert() -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    """Alternating layers of full and of sliding attention, as the real one has them."""
    tokenizer, _ = _bert()
    config = ModernBertConfig(
        vocab_size=64, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
        max_position_embeddings=64, local_attention=8, global_attn_every_n_layers=2, **SIZES, **SPREAD,
    )  # fmt: skip
    return tokenizer, config


def _xlm_roberta() -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    letters = [("▁", -2.0), *((letter, -3.0) for letter in LETTERS), ("the", -2.5), ("▁the", -2.5)]
    tokenizer = XLMRobertaTokenizer([*special, *letters, ("<mask>", 0.0)])
    config = XLMRobertaConfig(
        vocab_size=64, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1,
        max_position_embeddings=66, **SIZES, **SPREAD,
    )  # fmt: skip
    return tokenizer, config


def _mpnet() -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", *VOCABULARY[4:], "<mask>"]
    tokenizer = MPNetTokenizer({token: i for i, token in enumerate(tokens)})
    return tokenizer, MPNetConfig(
        vocab_size=64, pad_token_id=1, bos_token_id=0, eos_token_id=2, max_position_embeddings=66, **SIZES, **SPREAD
    )


def _qwen3() -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    """A decoder whose tokenizer closes every text with the token that is pooled, and pads on the left."""
    end = "<|endoftext|>"
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), end]
    tokenizer = Qwen2Tokenizer({token: i for i, token in enumerate(tokens)}, [], padding_side="left")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    config = Qwen3Config(
        vocab_size=264, num_key_value_heads=2, head_dim=8, max_position_embeddings=64, eos_token_id=256,
        bos_token_id=256, **SIZES, **SPREAD,
    )  # fmt: skip
    return tokenizer, config


_BACKBONES = {"bert": _bert, "modernbert": _modernbert, "xlm-roberta": _xlm_roberta, "mpnet": _mpnet, "qwen3": _qwen3}


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """Makes the random transformer of a name: the same weights every time."""

    def save(name: str, model_class: type, folder: Path) -> Path:
        tokenizer, config = _BACKBONES[name]()
        tokenizer.model_max_length = MAX_TOKENS
        tokenizer.save_pretrained(folder)
        torch.manual_seed(7)
        if model_class is not AutoModel:
            config.num_labels = 1
        model_class.from_config(config).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Path:
    """A random BERT of 32 dimensions with [CLS] pooling and a prompt for queries."""
    folder = tmp_path_factory.mktemp("tiny")
    transformer = Transformer(str(backbone("bert", AutoModel, folder / "transformer")), max_seq_length=MAX_TOKENS)
    modules = [transformer, Pooling(32, pooling_mode="cls")]
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
