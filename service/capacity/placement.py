"""Placement: which tenant is on which cards."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from service.capacity.errors import PlacementError
from service.capacity.model_server import ModelServer, ServerNeeds
from service.capacity.node import Devices, Node

MOST_CARDS, MOST_SERVERS = 16, 4
# What each server needs of a card, by the number of cards that share it.
Needs = tuple[dict[int, ServerNeeds], ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Devices of the retrieval, and of each server in order."""

    retrieval: Devices
    servers: tuple[tuple[int, ...], ...]


# The retrieval among the tenants; servers have their numbers.
_RETRIEVAL = -1


@dataclass(frozen=True, slots=True)
class _Tenant:
    """So many bytes on each of ``width`` cards."""

    bytes: int
    width: int
    number: int


def needs_of(node: Node) -> Needs:
    """For every number of cards that can share a server, or the one it is pinned to.

    Raises:
        PlacementError: more cards or servers than are planned, a device that is not there, or heads that cannot be
            shared.
    """
    if node.cards > MOST_CARDS or len(node.servers) > MOST_SERVERS:
        raise PlacementError(
            f"{node.cards} cards and {len(node.servers)} language models: at most {MOST_CARDS} and {MOST_SERVERS} "
            "are planned"
        )
    pinned = [device for server in node.servers for device in server.devices or ()]
    for device in [*pinned, *(node.retrieval.devices.cards if node.retrieval.devices else ())]:
        if device >= node.cards:
            raise PlacementError(f"cuda:{device} is asked for, and there are {node.cards} cards, counted from 0")
    return tuple(
        {cards: server.needs(cards, node.card_bytes) for cards in _widths(server, node)} for server in node.servers
    )


def placements(node: Node, needs: Needs, retrieval_bytes: int) -> Iterator[Placement]:
    """One for every way to choose the number of cards of each server.

    The largest tenant goes first, each to the cards that are emptiest then.

    Args:
        retrieval_bytes: of embedders and index, where they may go anywhere.
    """
    for widths in product(*needs):
        yield _placed(node, needs, widths, retrieval_bytes)


def _widths(server: ModelServer, node: Node) -> list[int]:
    if server.devices is not None:
        server.model.check_cards(len(server.devices))
        return [len(server.devices)]
    even = []
    for cards in range(1, node.cards + 1):
        try:
            server.model.check_cards(cards)
        except PlacementError:
            continue
        even.append(cards)
    return even


def _placed(node: Node, needs: Needs, widths: tuple[int, ...], retrieval_bytes: int) -> Placement:
    pinned = node.retrieval.devices
    tenants = [
        _Tenant(by[width].fixed_bytes, width, i) for i, (by, width) in enumerate(zip(needs, widths, strict=True))
    ]
    if pinned is None and node.retrieval.needs_a_card:
        tenants.append(_Tenant(retrieval_bytes, 1, _RETRIEVAL))
    taken = [0] * node.cards
    chosen: dict[int, tuple[int, ...]] = {}
    for tenant in sorted(tenants, key=lambda tenant: (-tenant.bytes, tenant.number)):
        emptiest = sorted(range(node.cards), key=lambda card: (taken[card], card))
        asked = None if tenant.number == _RETRIEVAL else node.servers[tenant.number].devices
        chosen[tenant.number] = asked or tuple(sorted(emptiest[: tenant.width]))
        for device in chosen[tenant.number]:
            taken[device] += tenant.bytes
    (home,) = chosen.pop(_RETRIEVAL, (None,))
    return Placement(pinned or Devices(home, home), tuple(chosen[number] for number in range(len(node.servers))))
