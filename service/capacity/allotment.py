"""What a model server may take of each of its cards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allotment:
    """The two memory flags of vLLM, which go together.

    With ``--kv-cache-memory-bytes`` alone vLLM would still compare the free memory with its default share of 0.92 and
    refuse to start beside other tenants.

    Attributes:
        gpu_memory_utilization: share of the card, 0 to 1, for weights, activations and KV cache; None on a machine
            without a GPU.
        kv_cache_bytes: of the KV cache on each card; None lets vLLM take what it measures to be left.
    """

    gpu_memory_utilization: float | None = None
    kv_cache_bytes: int | None = None
