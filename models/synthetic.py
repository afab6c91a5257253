"""Model folders with random weights in well-known shapes: enough to measure speed where no weights can be had."""

from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from models.loading import BUNDLED_MODEL, find_model

_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class BertShape:
    """Sizes of an encoder (Devlin et al., 2019, give those of base and large)."""

    name: str
    layers: int
    hidden: int
    heads: int
    intermediate: int

    def flops_per_token(self, length: int) -> float:
        """Multiplications and additions of one token in a text of ``length`` tokens, embeddings left out.

        Each layer has four ``hidden x hidden`` products, two ``hidden x intermediate`` ones, and attention's two
        products over the text (Kaplan et al., 2020, count alike).
        """
        products = 4 * self.hidden**2 + 2 * self.hidden * self.intermediate
        return 2.0 * self.layers * (products + 2 * length * self.hidden)


MINILM = BertShape("MiniLM-L6", 6, 384, 12, 1536)
BERT_BASE = BertShape("BERT-base", 12, 768, 12, 3072)
BERT_LARGE = BertShape("BERT-large", 24, 1024, 16, 4096)
SHAPES = {shape.name: shape for shape in (MINILM, BERT_BASE, BERT_LARGE)}


def write_random_model(shape: BertShape, folder: Path) -> Path:
    """A SentenceTransformer folder of ``shape`` below ``folder``, with the bundled model's tokenizer."""
    transformer = folder / "transformer"
    tokenizer = AutoTokenizer.from_pretrained(find_model(BUNDLED_MODEL), local_files_only=True)
    tokenizer.save_pretrained(transformer)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=_MAX_TOKENS,
    )
    BertModel(config).save_pretrained(transformer)
    modules = [Transformer(str(transformer), max_seq_length=_MAX_TOKENS), Pooling(shape.hidden, "mean"), Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu")
    model.save(str(folder / shape.name))
    return folder / shape.name
