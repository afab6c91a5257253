"""A query and a document as one row of a forward: how pairs are padded, and the modules that score them as one call.

Only the encoder runs in the reduced precision. The head is float32: bfloat16 tells logits between 4 and 8 apart in
steps of 0.03 only, and documents that tie lose their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sentence_transformers import CrossEncoder
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.base import TokenPair
from models.launching import Arrays
from models.padding import pad


@dataclass(frozen=True, slots=True)
class PairRectangle:
    """How a model's pairs are padded: on the right for all, since heads look for the tokens by what is no padding.

    Attributes:
        pad_id: put behind the ids.
        typed: whether the forward takes token types.
    """

    pad_id: int
    typed: bool

    def arrays(self, batch: Sequence[TokenPair]) -> Arrays:
        """Ids and mask of ``batch``, and types where the forward takes them."""
        ids, mask = pad([pair.ids for pair in batch], self.pad_id)
        if not self.typed:
            return ids, mask
        types, _ = pad([pair.type_ids for pair in batch], 0)
        return ids, mask, types


class PairForward(nn.Module):
    """Ids, mask and perhaps types ``(n, length)`` in, ``(n, 1)`` float32 scores out.

    Args:
        model: its head is made float32 in place.
        activation: put on the logits.
    """

    def __init__(self, model: CrossEncoder, activation: nn.Module) -> None:
        super().__init__()
        self.transformer = model[0]
        self.activation = activation
        network = network_of(model)
        for name, head in network.named_children():
            if name != network.base_model_prefix:
                head.float().register_forward_pre_hook(_to_float)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Scores of padded pairs."""
        features = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            features["token_type_ids"] = types
        scores: Tensor = self.activation(self.transformer(features)["scores"].float())
        return scores


def network_of(model: CrossEncoder) -> PreTrainedModel:
    """The Hugging Face model, head included."""
    return cast("PreTrainedModel", model.model)


def _to_float(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(argument.float() for argument in arguments)
