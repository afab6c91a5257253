"""Node: the cards there are, and the tenants that want them."""

from dataclasses import dataclass

from service.capacity.card_index import CardIndex, Refine
from service.capacity.embedder import Embedder, embedder_peak, embedder_weights
from service.capacity.model_server import ModelServer


@dataclass(frozen=True, slots=True)
class Devices:
    """Where ``quarry serve`` computes, by CUDA index; None is the CPU."""

    embedder: int | None
    index: int | None

    @property
    def cards(self) -> frozenset[int]:
        """That it has a context on."""
        return frozenset(device for device in (self.embedder, self.index) if device is not None)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the process ``quarry serve`` puts on cards.

    Attributes:
        embedders: reranker included.
        embedder_tokens: of one forward; None is the most that calibration tries.
        rows: of the index; None plans none.
        refine: where its exact vectors lie; ``auto`` leaves it to the plan.
        reserved: bytes for all indexes and their successors, where they are limited instead of planned.
        devices: the cards it has to be on; None leaves one for all of it to the plan.
    """

    embedders: tuple[Embedder, ...] = ()
    embedder_tokens: int | None = None
    rows: int | None = None
    dimension: int = 384
    refine: Refine = "auto"
    reserved: int = 0
    devices: Devices | None = None

    @property
    def needs_a_card(self) -> bool:
        """Unless it is pinned to the CPU, or is nothing at all."""
        if self.devices is not None:
            return bool(self.devices.cards)
        return bool(self.embedders or self.rows or self.reserved)

    @property
    def embedder_bytes(self) -> int:
        """Of weights and peak."""
        if not self.embedders:
            return 0
        return embedder_weights(self.embedders).bytes + embedder_peak(self.embedders, self.embedder_tokens).bytes

    def index(self) -> CardIndex | None:
        """As it would be placed; where ``refine`` is ``auto``, with the exact vectors on the card."""
        if self.rows is None or (self.devices is not None and self.devices.index is None):
            return None
        return CardIndex.of(self.rows, self.dimension, "host" if self.refine == "host" else "card")


@dataclass(frozen=True, slots=True)
class Node:
    """What is to be planned.

    Attributes:
        card_bytes: of each card.
        cards: how many there are.
        servers: of language models.
    """

    card_bytes: int
    cards: int
    retrieval: Retrieval
    servers: tuple[ModelServer, ...] = ()
