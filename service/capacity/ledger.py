"""The ledger of one card: a line for everything that takes memory there, and what is left."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.capacity.amount import Amount

_LEAST_HEADROOM = 2 << 30
_HEADROOM_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Line:
    """One component of one tenant.

    Attributes:
        component: embedder_weights, embedder_peak, index, index_scratch, rebuild_headroom, cuda_context, llm_weights,
            llm_activations, llm_kv_cache or headroom.
        tenant: ``serve``, or the name of a language model; empty for the headroom.
    """

    component: str
    tenant: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class CardLedger:
    """What one card has to hold.

    Attributes:
        device: its CUDA index.
        card_bytes: its memory.
    """

    device: int
    card_bytes: int
    lines: tuple[Line, ...]

    @property
    def total_bytes(self) -> int:
        """Of all lines."""
        return sum(line.amount.bytes for line in self.lines)

    @property
    def left_bytes(self) -> int:
        """Below zero where the card is too small."""
        return self.card_bytes - self.total_bytes

    def with_lines(self, lines: Iterable[Line]) -> "CardLedger":
        """With more of them."""
        return CardLedger(self.device, self.card_bytes, (*self.lines, *lines))


def headroom(card_bytes: int) -> Line:
    """Kept free: 3 % of the card, 2 GiB at the least."""
    size = max(_LEAST_HEADROOM, int(_HEADROOM_SHARE * card_bytes))
    return Line("headroom", "", Amount(size, True, "kept free: the larger of 2 GiB and 3% of the card"))
