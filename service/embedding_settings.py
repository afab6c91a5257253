"""Settings of the embedding models."""

from typing import Literal

from pydantic import Field

from service.settings_group import Group


class EmbeddingSettings(Group):
    """The embedding models, and how the device is shared.

    Attributes:
        model: makes the vectors of collections that name no other: a SentenceTransformer folder, or the name of a hub
            model that is already in the local cache; nothing is downloaded.
        also: more models to serve, as ``/models/bge-m3``; a collection names one as its ``embedding_model``.
        device: ``cpu``, ``cuda:0`` or the like; ``auto`` is the first GPU, else the CPU.
        dtype: of the forwards; ``auto`` is on a CPU bfloat16 where it is measured to be faster, on a GPU the half
            precision it computes in; either equal to float32 within a cosine of 0.999, else float32.
        threads: cores that forwards use, on a CPU; None takes those the process may run on.
        max_batch_tokens: of one forward; None measures at start from where on more brings nothing.
        bulk_batch_ms: time that one forward of bulk work should take at most; it has 256 tokens at least.
        ageing_ms: bulk work that has waited this long goes before queries.
        max_queued_tokens: that wait in one lane, queries or bulk; beyond it: 503.
        max_wait_ms: longest expected wait of a query that is taken on; beyond it: 503.
        stall_s: a forward that takes longer turns ``/readyz`` off.
        cache_bytes: memory for vectors of queries asked before; 0 keeps none.
    """

    model: str = "all-MiniLM-L6-v2"
    also: tuple[str, ...] = ()
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int | None = Field(None, ge=1)
    max_batch_tokens: int | None = Field(None, ge=1)
    bulk_batch_ms: float = Field(100, gt=0, allow_inf_nan=False)
    ageing_ms: float = Field(500, gt=0, allow_inf_nan=False)
    max_queued_tokens: int = Field(1_048_576, ge=1)
    max_wait_ms: float = Field(10_000, gt=0, allow_inf_nan=False)
    stall_s: float = Field(60, gt=0, allow_inf_nan=False)
    cache_bytes: int = Field(64 * 1024 * 1024, ge=0)
