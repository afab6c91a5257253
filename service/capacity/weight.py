"""Weight: one tensor of a model, or several alike, and how tensor parallelism shares it out."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

# What a quantisation looks at: it takes products of matrices and leaves the rest.
Kind = Literal["embedding", "head", "linear", "router", "norm", "bias"]
# Each card holds an equal part; as many of the key-value heads as fall to it, one at the least; or all of it.
Split = Literal["even", "heads", "whole"]


@dataclass(frozen=True, slots=True)
class Weight:
    """``count`` tensors of ``(outputs, inputs)``.

    Attributes:
        module: full name, e.g. ``model.layers.0.self_attn.q_proj``.
    """

    module: str
    kind: Kind
    inputs: int
    outputs: int
    split: Split = "even"
    count: int = 1

    @property
    def parameters(self) -> int:
        """Numbers in it."""
        return self.inputs * self.outputs * self.count

    def share(self, cards: int, kv_heads: int) -> Fraction:
        """The part of it that one of so many cards holds."""
        if self.split == "whole":
            return Fraction(1)
        if self.split == "heads":
            return Fraction(max(1, kv_heads // cards), kv_heads)
        return Fraction(1, cards)


def linear(module: str, inputs: int, outputs: int, split: Split = "even", bias: bool = False) -> Iterable[Weight]:
    """A product with a matrix, and what is added to it."""
    yield Weight(module, "linear", inputs, outputs, split)
    if bias:
        yield Weight(module, "bias", 1, outputs, split)


def norm(module: str, width: int) -> Weight:
    """The scales of a normalisation; every card has them."""
    return Weight(module, "norm", 1, width, "whole")
