"""How a fake server is started; flags are called as ``vllm serve`` calls them."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What the server is and how long it takes.

    Attributes:
        model: the name it is served by.
        max_num_seqs: sequences decoded at once; others wait.
        max_num_queued_reqs: running and waiting together, beyond which requests are refused; None is no limit.
        by_priority: waiting requests go by their ``priority``, else by their arrival.
        ttft_ms: from being scheduled to the first token.
        itl_ms: between two tokens.
        jitter: each of these is longer or shorter by up to this share of it, 0 to 1.
        per_request_metrics: replies carry ``metrics``.
        prompt_tokens_details: usage carries ``prompt_tokens_details``.
        seed: of the jitter.
    """

    model: str = "fake"
    max_model_len: int = 2048
    max_num_seqs: int = 64
    max_num_queued_reqs: int | None = None
    by_priority: bool = True
    ttft_ms: float = 20.0
    itl_ms: float = 2.0
    jitter: float = 0.0
    per_request_metrics: bool = True
    prompt_tokens_details: bool = True
    seed: int = 0


_DEFAULTS = Options()


def parsed(arguments: Sequence[str] | None) -> tuple[Options, Path | None, int]:
    """Options, the Unix socket to listen on, or else the port."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.fake_vllm", description="A vLLM server without a model.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", type=Path)
    where.add_argument("--port", type=int, default=0)
    parser.add_argument("--served-model-name", dest="model", default=_DEFAULTS.model)
    for name in ("max_model_len", "max_num_seqs", "max_num_queued_reqs", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(_DEFAULTS, name))
    for name in ("ttft_ms", "itl_ms", "jitter"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(_DEFAULTS, name))
    parser.add_argument("--scheduling-policy", choices=["fcfs", "priority"], default="fcfs")
    parser.add_argument("--enable-per-request-metrics", dest="per_request_metrics", action="store_true")
    parser.add_argument("--enable-prompt-tokens-details", dest="prompt_tokens_details", action="store_true")
    given = vars(parser.parse_args(arguments))
    given["by_priority"] = given["scheduling_policy"] == "priority"
    return Options(**{field.name: given[field.name] for field in fields(Options)}), given["uds"], given["port"]
