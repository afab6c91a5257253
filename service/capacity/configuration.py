"""The node that the settings describe: managed language models on their devices, and what serves beside them."""

from collections.abc import Sequence
from dataclasses import replace

from service.capacity.allotment import Allotment
from service.capacity.embedder import Embedder
from service.capacity.errors import CapacityError, PlacementError
from service.capacity.language_model import LanguageModel
from service.capacity.model_server import ModelServer
from service.capacity.node import Devices, Node, Retrieval
from service.capacity.plan import best_plan
from service.capacity.size import shown
from service.embedding_settings import EmbeddingSettings
from service.settings import Settings

_CARD = "cuda:"
_FIXED = {"auto": 0, "cpu": None}


def node_of(settings: Settings, card_bytes: int, cards: int, rows: int | None, dimension: int | None) -> Node:
    """Everything the settings put on cards.

    Args:
        rows: of the index; None reserves ``index.device_bytes``, or half of what the embedders leave of its card.
        dimension: of the index; None is the first embedder's.

    Raises:
        CapacityError: a model cannot be read, or its size is not known.
    """
    servers = tuple(server_of(settings, name) for name, llm in settings.llm.items() if llm.managed)
    retrieval = _retrieval(settings, card_bytes, rows, dimension)
    return Node(card_bytes, cards, retrieval, servers)


def allotment(
    settings: Settings, name: str, card_bytes: int | None, cards: int = 1, rows: int | None = None
) -> Allotment:
    """What the managed language model ``name`` may take, by the plan of all that the settings put on the node.

    Args:
        card_bytes: memory of each card; None on a machine without a GPU.
        cards: how many there are.
        rows: of the index; None reserves ``index.device_bytes``, or half of what the embedders leave of its card.

    Raises:
        CapacityError: it does not fit, or its files do not say what it takes.
    """
    if card_bytes is None:
        return Allotment()
    plan = best_plan(node_of(settings, card_bytes, cards, rows, None))
    model = plan.served_by(settings.llm[name].model)
    if not plan.fits:
        short = -min(card.left_bytes for card in plan.cards)
        why = (
            f"{shown(short)} are missing on a card of {shown(card_bytes)}"
            if short > 0
            else f"what is left of a card of {shown(card_bytes)} holds no sequence of {model.server.context} tokens"
        )
        raise CapacityError(
            f"llm.{name} does not fit beside its neighbours: {why}. "
            "`quarry plan --config` has every line; index.device_bytes limits the index, llm.*.context the cache"
        )
    return model.allotment


def server_of(settings: Settings, name: str) -> ModelServer:
    """The managed language model ``name``, with what its further arguments change.

    Raises:
        CapacityError: it is not managed, or its files do not say what it takes.
    """
    llm = settings.llm.get(name)
    if llm is None or llm.managed is None:
        raise CapacityError(f"llm.{name} is not a managed language model of the settings")
    managed = llm.managed
    args = managed.args
    model = LanguageModel.read(managed.weights, argument(args, "--dtype") or "auto")
    if argument(args, "--quantization", "-q") == "fp8":
        model = model.in_float8() or model
    devices, cards = managed.devices, _number(args, "--tensor-parallel-size", "-tp")
    if cards is not None and cards != len(devices):
        raise PlacementError(f"llm.{name}.managed has {len(devices)} devices, and its arguments want {cards}")
    return ModelServer(
        model=model,
        settings=llm,
        url=settings.llm_url(name),
        context=_number(args, "--max-model-len") or llm.context,
        sequences=_number(args, "--max-num-seqs") or managed.max_num_seqs,
        kv_dtype=argument(args, "--kv-cache-dtype") or "auto",
        batched_tokens=_number(args, "--max-num-batched-tokens"),
        captures="--enforce-eager" not in args,
        devices=devices,
        kv_cache_bytes=_number(args, "--kv-cache-memory-bytes") or managed.kv_cache_bytes,
    )


def argument(arguments: Sequence[str], *names: str) -> str | None:
    """The value that the last of them gives to one of these flags; None where none does."""
    value = None
    for place, word in enumerate(arguments):
        flag, equals, behind = word.partition("=")
        if (flag.replace("_", "-") if flag.startswith("--") else flag) in names:
            value = behind if equals else next(iter(arguments[place + 1 : place + 2]), None)
    return value


def _number(arguments: Sequence[str], *names: str) -> int | None:
    """As ``argument``; None too for what is not a plain number, such as vLLM's -1 for "find out"."""
    value = argument(arguments, *names)
    return int(value) if value is not None and value.isdecimal() and int(value) > 0 else None


def _retrieval(settings: Settings, card_bytes: int, rows: int | None, dimension: int | None) -> Retrieval:
    devices = Devices(_device(settings.embedding.device), _device(settings.index.device))
    embedders = _embedders(settings) if devices.embedder is not None else ()
    tokens = settings.embedding.max_batch_tokens
    size = dimension or (embedders[0].dimension if embedders else _default_dimension(settings.embedding))
    retrieval = Retrieval(embedders, tokens, rows, size, devices=devices)
    if rows is not None or devices.index is None:
        return retrieval
    held = retrieval.embedder_bytes if devices.embedder == devices.index else 0
    return replace(retrieval, reserved=settings.index.device_bytes or max(0, card_bytes - held) // 2)


def _embedders(settings: Settings) -> tuple[Embedder, ...]:
    models = [Embedder.read(name) for name in (settings.embedding.model, *settings.embedding.also)]
    reranker = settings.rerank.model
    return (*models, Embedder.read(reranker, is_reranker=True)) if reranker else tuple(models)


def _default_dimension(embedding: EmbeddingSettings) -> int:
    return Embedder.read(embedding.model).dimension


def _device(setting: str) -> int | None:
    """``auto`` is the first GPU, as both rooms choose it."""
    if setting in _FIXED:
        return _FIXED[setting]
    number = setting.removeprefix(_CARD)
    if not setting.startswith(_CARD) or not number.isdecimal():
        raise PlacementError(f"device {setting!r}: known are auto, cpu and cuda:N")
    return int(number)
