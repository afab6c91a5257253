"""The command line of ``vllm serve`` for one configured language model."""

from collections.abc import Iterable, Iterator
from itertools import chain

from service.capacity.allotment import Allotment
from service.llm_settings import LlmSettings, ManagedSettings

_SCHEME = "unix://"
# vLLM's limit counts requests that run as well as those that wait; beyond the answers there are canaries, rewritten
# questions, and answers that nobody waits for any more until vLLM has noticed.
_SPARE_REQUESTS = 16
_DRAIN_S = 30
# Other spellings of flags that are ours, and the ones that rule out a flag of ours.
_ALIASES = {"-tp": "--tensor-parallel-size", "--device-memory-utilization": "--gpu-memory-utilization"}
_EXCLUDES = {"--disable-log-stats": "--enable-per-request-metrics"}


def vllm_command(
    settings: LlmSettings, url: str, allotment: Allotment, known_flags: frozenset[str] | None = None
) -> list[str]:
    """The command, executable first. A flag that ``managed.args`` names too is theirs alone.

    Args:
        settings: of a managed language model.
        url: where it listens: ``unix:///path``.
        allotment: of memory on each of its cards.
        known_flags: those that ``vllm serve --help=all`` lists, e.g. ``--uds``; ours among the others are left out.
            None takes all to be known.

    Raises:
        ValueError: the model is not managed, or ``url`` is no Unix socket.
    """
    managed = settings.managed
    if managed is None:
        raise ValueError(f"the server of {settings.model!r} is not managed, so there is nothing to run")
    if not url.startswith(f"{_SCHEME}/"):
        raise ValueError(f"a managed server listens on {_SCHEME}/path, not on {url!r}")
    theirs = _settled(managed.args)
    ours = (
        (flag, *values)
        for flag, *values in _flags(settings, managed, url.removeprefix(_SCHEME), allotment)
        if flag not in theirs and (known_flags is None or flag in known_flags)
    )
    return [str(managed.command), "serve", str(managed.weights), *chain.from_iterable(ours), *managed.args]


def _settled(arguments: Iterable[str]) -> frozenset[str]:
    """Flags, as vLLM spells them, that the arguments give, turn off or rule out."""
    named = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    flags = {_ALIASES.get(name, name) for name in (name.replace("_", "-") for name in named)}
    turned_off = {f"--{flag.removeprefix('--no-')}" for flag in flags if flag.startswith("--no-")}
    return frozenset(flags | turned_off | {_EXCLUDES[flag] for flag in flags if flag in _EXCLUDES})


def _flags(
    settings: LlmSettings, managed: ManagedSettings, socket: str, allotment: Allotment
) -> Iterator[tuple[str, ...]]:
    yield "--uds", socket
    yield "--served-model-name", settings.model
    yield "--max-model-len", str(settings.context)
    yield "--max-num-seqs", str(managed.max_num_seqs)
    yield "--max-num-queued-reqs", str(max(managed.max_num_seqs, settings.max_streams) + _SPARE_REQUESTS)
    yield "--scheduling-policy", "priority"
    yield "--load-format", "safetensors"
    yield "--shutdown-timeout", str(_DRAIN_S)
    yield ("--enable-per-request-metrics",)
    yield ("--enable-prompt-tokens-details",)
    if len(managed.devices) > 1:
        yield "--tensor-parallel-size", str(len(managed.devices))
    if allotment.gpu_memory_utilization is not None:
        yield "--gpu-memory-utilization", str(allotment.gpu_memory_utilization)
    if allotment.kv_cache_bytes is not None:
        yield "--kv-cache-memory-bytes", str(allotment.kv_cache_bytes)
