"""The modules of a sentence model as one call: from token ids to unit vectors.

Only the transformer runs in the reduced precision: pooling and normalising in bfloat16 costs up to 0.004 of cosine,
in float32 less than 0.0001. ``dimension`` may be shorter than the model's own: vectors are cut to it, and normalised.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from models.bert import BertEncoder
from models.packing import Packed

Features = dict[str, Any]


# Modules that read nothing but the sentence's vector, by the names of their classes, as ``bert`` knows the encoders:
# the library is not imported for every model.
_OF_THE_SENTENCE = {"Dense", "Normalize"}


def transformer_of(model: nn.Sequential) -> nn.Module:
    """The Hugging Face model within the first module, or ours in its place."""
    first: Any = model[0]
    transformer: nn.Module = first.model
    return transformer


class LibraryForward(nn.Module):
    """The library's own modules: ``(n, length)`` ids and mask in, ``(n, dimension)`` float32 unit vectors out."""

    def __init__(self, model: nn.Sequential, dimension: int) -> None:
        super().__init__()
        self.transformer, *later = list(model)
        self.later = _in_float32(later)
        self.dimension = dimension

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors of padded rows."""
        features = self.transformer({"input_ids": ids, "attention_mask": mask})
        features["token_embeddings"] = features["token_embeddings"].float()
        return _finished(self.later, features, self.dimension)


class BertForward(nn.Module):
    """The same with our own encoder before the library's later modules."""

    def __init__(self, encoder: BertEncoder, later: Sequence[nn.Module], dimension: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.later = _in_float32(later)
        self.dimension = dimension

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors of padded rows."""
        hidden = self.encoder(ids, mask).float()
        return _finished(self.later, {"token_embeddings": hidden, "attention_mask": mask}, self.dimension)


class PackedForward(nn.Module):
    """The same over packed rows: ours are the encoder and the pooling, mean or that of the first token."""

    def __init__(self, encoder: BertEncoder, later: Sequence[nn.Module], dimension: int) -> None:
        super().__init__()
        self.encoder = encoder
        pooling, *after = later
        self.pool = _POOLED[str(pooling.pooling_mode)]
        self.later = _in_float32(after)
        self.dimension = dimension

    @staticmethod
    def supports(later: Sequence[nn.Module]) -> bool:
        """Whether the modules after the transformer can follow a packed encoder."""
        if not later or type(later[0]).__name__ != "Pooling" or later[0].pooling_mode not in _POOLED:
            return False
        return all(type(module).__name__ in _OF_THE_SENTENCE for module in later[1:])

    def forward(self, packed: Packed) -> Tensor:
        """``(n, dimension)`` unit vectors."""
        pooled = self.pool(self.encoder.packed(packed).float(), packed)
        return _finished(self.later, {"sentence_embedding": pooled}, self.dimension)


def mean_of_rows(hidden: Tensor, packed: Packed) -> Tensor:
    """Mean over the tokens of each row: ``(total, width)`` to ``(n, width)``."""
    sums = hidden.new_zeros(len(packed.lengths), hidden.shape[1]).index_add(0, packed.rows(), hidden)
    return sums / packed.bounds.diff().unsqueeze(1)


def first_of_rows(hidden: Tensor, packed: Packed) -> Tensor:
    """The first token of each row: ``(total, width)`` to ``(n, width)``."""
    return hidden.index_select(0, packed.firsts())


_POOLED = {"mean": mean_of_rows, "cls": first_of_rows}


def _in_float32(later: Sequence[nn.Module]) -> nn.ModuleList:
    """A Dense module comes in the transformer's precision."""
    return nn.ModuleList(later).float()


def _finished(later: nn.ModuleList, features: Features, dimension: int) -> Tensor:
    for module in later:
        features = module(features)
    vectors: Tensor = features["sentence_embedding"]
    return functional.normalize(vectors.float().narrow(1, 0, dimension), dim=-1)
