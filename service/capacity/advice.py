"""Advice: changes that make a plan fit. Each is tried in a plan of its own, and told only if that one fits."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from service.capacity.embedder import MOST_TOKENS
from service.capacity.errors import CapacityError
from service.capacity.model_server import ModelServer
from service.capacity.node import Node
from service.capacity.placement import MOST_CARDS
from service.capacity.plan import Plan, best_plan

_LEAST_CONTEXT = 512  # what the setting llm.NAME.context takes at the least
_SMALL_FORWARD = 16_384
_LEAST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Change:
    """A node somewhat different, and how to come to it."""

    text: str
    node: Node


def advice(plan: Plan) -> list[str]:
    """What would make it fit: single changes, or else several at once; empty where nothing here would."""
    node = plan.node
    single = [change.text for change in _singles(node) if _fits(change.node)]
    return single or _together(node)


def _singles(node: Node) -> Iterator[Change]:
    for number, server in enumerate(node.servers):
        yield from _changes_of(node, number, server)
    yield from _vectors_on_the_host(node)
    yield from _smaller_forwards(node)
    yield from _fewer_rows(node)
    yield from _more_cards(node)


def _changes_of(node: Node, number: int, server: ModelServer) -> Iterator[Change]:
    yield from _quantized(node, number, server)
    yield from _smaller_cache(node, number, server)
    contexts = _halves(server.context)
    shorter = _first_that_fits(contexts, lambda context: _with(node, number, server.with_context(context)))
    if shorter is not None:
        context, changed_node = shorter
        yield Change(f"{server.name}: a context of {context} tokens instead of {server.context}", changed_node)


def _quantized(node: Node, number: int, server: ModelServer) -> Iterator[Change]:
    if (changed := server.in_float8()) is not None:
        yield Change(f"{server.name}: load its weights in fp8 (--quantization fp8)", _with(node, number, changed))


def _smaller_cache(node: Node, number: int, server: ModelServer) -> Iterator[Change]:
    if not server.kv_dtype.startswith("fp8"):
        changed = server.with_cache_in("fp8")
        yield Change(f"{server.name}: keep its cache in fp8 (--kv-dtype fp8)", _with(node, number, changed))


def _vectors_on_the_host(node: Node) -> Iterator[Change]:
    if node.retrieval.rows and node.retrieval.refine == "card":
        changed = replace(node, retrieval=replace(node.retrieval, refine="host"))
        yield Change("leave the exact vectors of the index on the host (--refine host)", changed)


def _smaller_forwards(node: Node) -> Iterator[Change]:
    retrieval = node.retrieval
    if retrieval.embedders and (retrieval.embedder_tokens or MOST_TOKENS) > _SMALL_FORWARD:
        changed = replace(node, retrieval=replace(retrieval, embedder_tokens=_SMALL_FORWARD))
        yield Change(f"embed at most {_SMALL_FORWARD} tokens at a time (embedding.max_batch_tokens)", changed)


def _fewer_rows(node: Node) -> Iterator[Change]:
    """The most rows that fit, to two digits."""
    rows = node.retrieval.rows
    if not rows:
        return

    def with_rows(count: int) -> Node:
        return replace(node, retrieval=replace(node.retrieval, rows=count))

    low, high = _LEAST_ROWS, rows
    if rows <= low or not _fits(with_rows(low)):
        return
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(with_rows(middle)) else (low, middle)
    digits = 10 ** max(0, len(str(low)) - 2)
    most = low // digits * digits
    yield Change(f"{most:,} rows at most instead of {rows:,}", with_rows(most))


def _more_cards(node: Node) -> Iterator[Change]:
    counts = range(node.cards + 1, MOST_CARDS + 1)
    found = _first_that_fits(counts, lambda cards: replace(node, cards=cards))
    if found is not None:
        yield Change(f"{found[0]} cards of this size instead of {node.cards} (--gpus {found[0]})", found[1])


def _together(node: Node) -> list[str]:
    """Everything that costs no hardware, one after the other until it fits; then more cards with all of it."""
    texts: list[str] = []
    for change in _cumulative(node):
        node = change.node
        texts.append(change.text)
        if _fits(node):
            return ["together: " + "; ".join(texts)]
    for change in _more_cards(node):
        return ["together: " + "; ".join([*texts, change.text])]
    return []


def _cumulative(node: Node) -> Iterator[Change]:
    """Each on top of those before."""
    for take in (_vectors_on_the_host, _smaller_forwards):
        for change in take(node):
            node = change.node
            yield change
    for number in range(len(node.servers)):
        for change in _quantized(node, number, node.servers[number]):
            node = change.node
            yield change
        for change in _smaller_cache(node, number, node.servers[number]):
            node = change.node
            yield change
        for context in _halves(node.servers[number].context):
            node = _with(node, number, node.servers[number].with_context(context))
        server = node.servers[number]
        yield Change(f"{server.name}: a context of {server.context} tokens", node)


def _halves(context: int) -> list[int]:
    """Ever shorter contexts that are powers of two."""
    return [1 << power for power in range(context.bit_length(), 0, -1) if _LEAST_CONTEXT <= 1 << power < context]


def _with(node: Node, number: int, server: ModelServer) -> Node:
    return replace(node, servers=(*node.servers[:number], server, *node.servers[number + 1 :]))


def _first_that_fits(values: Iterable[int], changed: Callable[[int], Node]) -> tuple[int, Node] | None:
    for value in values:
        node = changed(value)
        if _fits(node):
            return value, node
    return None


def _fits(node: Node) -> bool:
    try:
        return best_plan(node).fits
    except CapacityError:
        return False
