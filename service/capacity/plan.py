"""Plan: the ledger of every card, and what the language models can do with what is left."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from service.capacity.allotment import Allotment
from service.capacity.amount import Amount
from service.capacity.card_index import CardIndex, Refine
from service.capacity.embedder import embedder_peak, embedder_weights
from service.capacity.errors import PlacementError
from service.capacity.kv_cache import KvCache
from service.capacity.ledger import CardLedger, Line, headroom
from service.capacity.model_server import CONTEXT, ModelServer, ServerNeeds
from service.capacity.node import Node
from service.capacity.placement import Needs, Placement, needs_of, placements
from service.llm_settings import LlmSettings

SERVE = "serve"
_MIB = 1 << 20
_SHARES = 1000  # vLLM's share of a card is given to three places, rounded down


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A language model in its place.

    Attributes:
        devices: its cards.
        kv_cache: what its cache is made of, on each of them.
        kv_bytes: of the cache on each.
        tokens: that the cache holds at the server's context, as vLLM logs it.
        sequences: of the full context that have room at once, however many the server lets run.
    """

    server: ModelServer
    devices: tuple[int, ...]
    kv_cache: KvCache
    kv_bytes: int
    tokens: int
    sequences: int
    allotment: Allotment

    @property
    def at_once(self) -> int:
        """Sequences of the full context that it writes at once."""
        return min(self.sequences, self.server.sequences)

    @property
    def settings(self) -> LlmSettings:
        """The server's, on these cards."""
        managed = self.server.settings.managed
        if managed is None or managed.devices == self.devices:
            return self.server.settings
        placed = managed.model_copy(update={"devices": self.devices})
        return self.server.settings.model_copy(update={"managed": placed})


@dataclass(frozen=True)
class Plan:
    """One placement of a node's tenants, in full.

    Attributes:
        index: None where none is on a card.
        cards: ledgers, by device.
        served: the language models, in the node's order.
    """

    node: Node
    placement: Placement
    index: CardIndex | None
    cards: tuple[CardLedger, ...]
    served: tuple[ServedModel, ...]

    @property
    def fits(self) -> bool:
        """No card is too small, and every language model can write one sequence of its full context."""
        return all(card.left_bytes >= 0 for card in self.cards) and all(model.sequences for model in self.served)

    def served_by(self, name: str) -> ServedModel:
        """The language model of that name.

        Raises:
            PlacementError: there is none.
        """
        for model in self.served:
            if model.server.name == name:
                return model
        raise PlacementError(f"{name!r} is not among the planned {[model.server.name for model in self.served]}")

    @cached_property
    def merit(self) -> tuple[bool, bool, bool, int, int, int]:
        """What is compared to choose between plans: better is greater.

        It fits; every server can write as many sequences as it may run; exact vectors are on the card as well; the
        sequences of the server with the fewest; the tokens of all caches; and few cards to a model.
        """
        content = all(model.sequences >= model.server.sequences for model in self.served)
        on_card = self.index is not None and self.index.served.refine == "card"
        least = min((model.sequences for model in self.served), default=0)
        tokens = sum(model.tokens for model in self.served)
        return self.fits, content, content and on_card, least, tokens, -sum(len(model.devices) for model in self.served)


def best_plan(node: Node) -> Plan:
    """The best placement; where nothing fits, the one that comes closest by the same measure.

    Raises:
        PlacementError: a tenant cannot be placed at all.
        CapacityError: no kernel searches the index.
    """
    retrieval = node.retrieval
    both: tuple[Refine, ...] = ("card", "host")
    homes = both if retrieval.refine == "auto" and retrieval.rows else (retrieval.refine,)
    needs = needs_of(node)
    placed = (replace(node, retrieval=replace(retrieval, refine=home)) for home in homes)
    plans = [plan for each in placed for plan in _plans(each, needs)]
    return max(plans, key=lambda plan: (*plan.merit[:1], -_missing(plan), *plan.merit[1:]))


def _missing(plan: Plan) -> int:
    """Bytes by which cards are too small."""
    return sum(max(0, -card.left_bytes) for card in plan.cards)


def _plans(node: Node, needs: Needs) -> Iterator[Plan]:
    index = node.retrieval.index()
    embedders, indexes = _embedder_lines(node), _index_lines(node, index)
    size = sum(line.amount.bytes for line in (*embedders, *indexes)) + CONTEXT.bytes
    for placement in placements(node, needs, size):
        ledgers = [CardLedger(device, node.card_bytes, (headroom(node.card_bytes),)) for device in range(node.cards)]
        for device, lines in ((placement.retrieval.embedder, embedders), (placement.retrieval.index, indexes)):
            if device is not None:
                ledgers[device] = ledgers[device].with_lines(lines)
        for device in placement.retrieval.cards:
            ledgers[device] = ledgers[device].with_lines([Line("cuda_context", SERVE, CONTEXT)])
        yield _served(node, placement, index, ledgers, needs)


def _embedder_lines(node: Node) -> list[Line]:
    embedders = node.retrieval.embedders
    if not embedders:
        return []
    peak = embedder_peak(embedders, node.retrieval.embedder_tokens)
    return [Line("embedder_weights", SERVE, embedder_weights(embedders)), Line("embedder_peak", SERVE, peak)]


def _index_lines(node: Node, index: CardIndex | None) -> list[Line]:
    if index is not None:
        return [
            Line("index", SERVE, index.index),
            Line("index_scratch", SERVE, index.scratch),
            Line("rebuild_headroom", SERVE, index.rebuild),
        ]
    if node.retrieval.reserved:
        said = "reserved for indexes, what is set aside for searches and successors included"
        return [Line("index", SERVE, Amount(node.retrieval.reserved, False, said))]
    return []


def _served(node: Node, placement: Placement, index: CardIndex | None, ledgers: list[CardLedger], needs: Needs) -> Plan:
    """With the servers' lines; what is then left of each card is shared by the caches on it."""
    own = [by[len(devices)] for by, devices in zip(needs, placement.servers, strict=True)]
    for server, devices, need in zip(node.servers, placement.servers, own, strict=True):
        for device in devices:
            ledgers[device] = ledgers[device].with_lines(_server_lines(server, need))
    served = []
    left = [card.left_bytes for card in ledgers]
    for server, devices, need in zip(node.servers, placement.servers, own, strict=True):
        size = server.kv_cache_bytes or min(_share(device, left, node, placement) for device in devices)
        served.append(_served_model(server, devices, need, size, node.card_bytes))
    for model in served:
        kept = Amount(model.kv_bytes, False, f"{model.tokens:,} tokens, {model.kv_cache.token_bytes:,} bytes each")
        for device in model.devices:
            ledgers[device] = ledgers[device].with_lines([Line("llm_kv_cache", model.server.name, kept)])
    return Plan(node, placement, index, tuple(ledgers), tuple(served))


def _server_lines(server: ModelServer, need: ServerNeeds) -> list[Line]:
    return [
        Line("llm_weights", server.name, need.weights),
        Line("llm_activations", server.name, need.activations),
        Line("cuda_context", server.name, CONTEXT),
    ]


def _share(device: int, left: list[int], node: Node, placement: Placement) -> int:
    """Of one cache, in whole MiB; caches of a size that somebody set come first."""
    here = [server for server, devices in zip(node.servers, placement.servers, strict=True) if device in devices]
    free = left[device] - sum(server.kv_cache_bytes or 0 for server in here)
    return max(0, free // sum(server.kv_cache_bytes is None for server in here) // _MIB * _MIB)


def _served_model(
    server: ModelServer, devices: tuple[int, ...], need: ServerNeeds, size: int, card_bytes: int
) -> ServedModel:
    cache, taken = need.kv_cache, need.weights.bytes + need.activations.bytes + size
    share = max(1, min(_SHARES, taken * _SHARES // card_bytes)) / _SHARES
    return ServedModel(
        server,
        devices,
        cache,
        size,
        cache.tokens(size, server.context),
        cache.sequences(size, server.context),
        Allotment(share, size),
    )
