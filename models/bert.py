"""BertEncoder: the forward of the BERT family with a fused projection, over padded or over packed tokens.

Both entry points run the same weights. ``forward`` takes rectangles and is one traceable expression for every shape;
``packed`` takes the tokens of all rows end to end and computes nothing else.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.packing import Packed

# Query, key and value ``(total, heads, width)`` and the rows' places in them; the result has the shape of the query.
PackedAttention = Callable[[Tensor, Tensor, Tensor, Packed], Tensor]

# Classes of transformers that are this architecture; the flag says whether positions begin behind the padding id.
_FAMILY = {"BertModel": False, "RobertaModel": True, "XLMRobertaModel": True, "CamembertModel": True}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}


def attend_each(query: Tensor, key: Tensor, value: Tensor, packed: Packed) -> Tensor:
    """Attention row by row: slow, and what a packed kernel has to equal."""
    rows = []
    begin = 0
    for length in packed.lengths:
        q, k, v = (whole.narrow(0, begin, length).transpose(0, 1).unsqueeze(0) for whole in (query, key, value))
        rows.append(functional.scaled_dot_product_attention(q, k, v).squeeze(0).transpose(0, 1))
        begin += length
    return torch.cat(rows)


def attend_varlen(query: Tensor, key: Tensor, value: Tensor, packed: Packed) -> Tensor:
    """Attention of all rows in one flash kernel; half precision on CUDA only."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  older releases of torch have none

    bounds, longest = packed.bounds, max(packed.lengths)
    output = varlen_attn(query, key, value, bounds, bounds, longest, longest)
    return cast("Tensor", output)


def attend_padded(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention over rectangles ``(n, heads, length, width)``.

    On the CPU two batched products with the scores between them: with a mask and heads of 32 numbers,
    scaled_dot_product_attention takes about twice as long there.
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    rows, heads, length, width = query.shape
    q, k, v = (part.reshape(rows * heads, length, width) for part in (query, key, value))
    added = bias.reshape(rows * heads, 1, length)
    scores = torch.baddbmm(added, q, k.transpose(1, 2), alpha=1 / math.sqrt(width))
    return torch.bmm(scores.softmax(-1), v).view(rows, heads, length, width)


class BertEncoder(nn.Module):
    """Token ids to hidden states, as a loaded Hugging Face model of the BERT family computes them.

    Args:
        model: the module; ``supports`` must hold for it. Its weights are shared but for the fused projection.
        attention: how ``packed`` attends.
    """

    def __init__(self, model: nn.Module, attention: PackedAttention = attend_each) -> None:
        super().__init__()
        source: Any = model
        embeddings = source.embeddings
        self.words = embeddings.word_embeddings
        self.positions = embeddings.position_embeddings
        self.types = embeddings.token_type_embeddings
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList(BertLayer(layer, source.config.hidden_act) for layer in source.encoder.layer)
        self.heads = int(source.config.num_attention_heads)
        self.padding_id = int(embeddings.padding_idx) if _FAMILY[type(model).__name__] else None
        self.attention = attention

    @staticmethod
    def supports(model: nn.Module) -> bool:
        """Whether this encoder computes what ``model`` computes."""
        config: Any = getattr(model, "config", None)
        return (
            type(model).__name__ in _FAMILY
            and not config.is_decoder
            and not config.add_cross_attention
            and getattr(config, "position_embedding_type", None) in {None, "absolute"}
            and config.hidden_act in _ACTIVATIONS
        )

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Hidden states ``(n, length, width)`` of ids, mask and token types ``(n, length)``; types default to 0."""
        hidden = self._embed(ids, self._positions_of(ids), types)
        # Added to the scores once made, instead of a boolean mask that every layer would turn into this one.
        bias = (1 - mask.unsqueeze(1).unsqueeze(1).to(hidden.dtype)) * torch.finfo(hidden.dtype).min
        bias = bias.expand(-1, self.heads, -1, -1)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden

    def packed(self, packed: Packed) -> Tensor:
        """Hidden states ``(total, width)`` of the tokens of all rows, end to end."""
        hidden = self._embed(packed.ids, self._packed_positions(packed), packed.types)
        for layer in cast("Iterable[BertLayer]", self.layers):
            hidden = layer.packed(hidden, packed, self.attention)
        return hidden

    def _embed(self, ids: Tensor, positions: Tensor, types: Tensor | None) -> Tensor:
        kinds = self.types.weight.select(0, 0) if types is None else self.types(types)
        embedded: Tensor = self.norm(self.words(ids) + kinds + self.positions(positions))
        return embedded

    def _positions_of(self, ids: Tensor) -> Tensor:
        if self.padding_id is None:
            return torch.arange(ids.shape[1], device=ids.device)
        # RoBERTa counts the tokens that are not padding, whatever the mask says of them.
        tokens = ids.ne(self.padding_id).to(ids.dtype)
        return tokens.cumsum(1) * tokens + self.padding_id

    def _packed_positions(self, packed: Packed) -> Tensor:
        first, rows = packed.firsts(), packed.rows()
        if self.padding_id is None:
            return torch.arange(len(rows), device=rows.device) - first.index_select(0, rows)
        tokens = packed.ids.ne(self.padding_id).long()
        before = tokens.cumsum(0) - tokens
        return (before + 1 - before.index_select(0, first).index_select(0, rows)) * tokens + self.padding_id


class BertLayer(nn.Module):
    """One layer: attention and feed-forward, each added to its input and normalised after.

    Args:
        layer: the Hugging Face layer whose weights it runs.
        activation: the name of its activation in the configuration.
    """

    def __init__(self, layer: nn.Module, activation: str) -> None:
        super().__init__()
        source: Any = layer
        own = source.attention.self
        self.heads = int(own.num_attention_heads)
        self.project: nn.Module = _fused(own.query, own.key, own.value)
        self.join: nn.Module = source.attention.output.dense
        self.attention_norm = source.attention.output.LayerNorm
        self.widen: nn.Module = source.intermediate.dense
        self.activation = _ACTIVATIONS[activation]
        self.narrow: nn.Module = source.output.dense
        self.output_norm = source.output.LayerNorm

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Padded: hidden states ``(n, length, width)``, ``bias`` ``(n, heads, 1, length)`` is added to the scores."""
        rows, length, width = hidden.shape
        projected = self.project(hidden).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = projected.unbind(0)
        mixed = attend_padded(query, key, value, bias)
        return self._after(hidden, mixed.transpose(1, 2).reshape(rows, length, width))

    def packed(self, hidden: Tensor, packed: Packed, attention: PackedAttention) -> Tensor:
        """Packed: hidden states ``(total, width)``."""
        total, width = hidden.shape
        query, key, value = self.project(hidden).view(total, 3, self.heads, -1).unbind(1)
        return self._after(hidden, attention(query, key, value, packed).reshape(total, width))

    def _after(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        hidden = self.attention_norm(self.join(mixed) + hidden)
        output: Tensor = self.output_norm(self.narrow(self.activation(self.widen(hidden))) + hidden)
        return output


def _fused(*parts: nn.Linear) -> nn.Linear:
    """One projection for several of the same input."""
    weight = torch.cat([part.weight.detach() for part in parts])
    fused = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
    fused.weight = nn.Parameter(weight, requires_grad=False)
    fused.bias = nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
    return fused
