"""A Llama so small that a server is up within a minute: random weights, a vocabulary of this project's words."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_ROOT = Path(__file__).parents[2]
_BEGIN, _END = "<|begin|>", "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}<|begin|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
# As frugal with the tests' own prompts as large vocabularies are with English, about four bytes a token.
_VOCABULARY = 8192
LAYERS, KEY_VALUE_HEADS, HEAD_WIDTH = 2, 2, 32
CONTEXT = 32768
# One token's keys and values in every layer, in bfloat16.
KV_BYTES_PER_TOKEN = 2 * LAYERS * KEY_VALUE_HEADS * HEAD_WIDTH * 2


def tiny_llama(cache: Path) -> Path:
    """The model's folder below ``cache``, made if this version of it is not there yet."""
    sources = [_ROOT / "README.md", *(_ROOT / "docs").glob("*.md"), *(_ROOT / "tests/vllm").glob("*.py")]
    texts = [path.read_text() for path in sorted(sources)]
    made_of = "\0".join([Path(__file__).read_text(), *texts])
    folder = cache / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    if not folder.exists():
        _make(folder, texts)
    return folder


def _make(folder: Path, texts: list[str]) -> None:
    """Appears whole or not at all, so that two who make it at once do no harm."""
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
    _tokenizer(texts).save_pretrained(unfinished)
    _model().save_pretrained(unfinished)
    try:
        os.rename(unfinished, folder)
    except OSError:
        shutil.rmtree(unfinished)
        if not folder.exists():
            raise


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_BEGIN, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_BEGIN, eos_token=_END, chat_template=_TEMPLATE, model_max_length=CONTEXT
    )


def _model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=KEY_VALUE_HEADS,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).to(torch.bfloat16)
