"""What an operator sees of a server."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import examples


class HealthReply(BaseModel):
    """The process answers."""

    model_config = examples({"status": "ok"})

    status: Literal["ok"]


class ReadinessReply(BaseModel):
    """Whether search can serve, and what is lost beside it."""

    model_config = examples({"status": "ready", "reasons": [], "degraded": []})

    status: Literal["ready", "unavailable"]
    reasons: list[str] = Field(description="Why search cannot serve.")
    degraded: list[str] = Field(
        description="`llm`, `disk`, `milvus`, `redis`, `keys`, and `collection:NAME` of each that is damaged."
    )


class DeviceMemoryReply(BaseModel):
    """The memory of one device, held to the marks."""

    used: int = Field(description="Bytes; of a GPU by this process.")
    limit: int = Field(description="Bytes that there are; of a GPU those that other processes do not hold.")
    share: float = Field(description="`used` of `limit`.")
    level: Literal["clear", "low", "high"] = Field(description="The mark that it is above.")


class MemoryReply(BaseModel):
    """Memory against its marks: above `low` bulk work waits, above `high` fewer queries may wait, too."""

    level: Literal["clear", "low", "high"] = Field(description="That of the fullest device.")
    low: float = Field(description="Share of the limit.")
    high: float = Field(description="Share of the limit.")
    devices: dict[str, DeviceMemoryReply]


class QuantilesReply(BaseModel):
    """Seconds, as exact as vLLM's buckets are wide."""

    p50_s: float
    p95_s: float


class VllmFiguresReply(BaseModel):
    """What vLLM counts of itself; null is what it or the window does not tell."""

    window_s: float = Field(description="That rates and quantiles are of; a minute at most.")
    running: float | None = Field(description="Requests that are decoded.")
    waiting: float | None
    kv_cache_usage: float | None = Field(description="Share of its blocks.")
    prefix_cache_hit_rate: float | None = Field(description="Share of the prompts' tokens that were cached.")
    preemptions: float | None = Field(description="Sequences put back for want of cache.")
    prompt_tokens_per_s: float | None
    generation_tokens_per_s: float | None
    ttft: QuantilesReply | None = Field(description="To the first token.")
    itl: QuantilesReply | None = Field(description="Between two tokens.")


class VllmReply(BaseModel):
    """The last look at a vLLM server's own metrics."""

    age_s: float | None = Field(description="Since the figures were read; null before that.")
    trouble: str | None = Field(description="Why the last look brought none.")
    figures: VllmFiguresReply | None


class StatusReply(BaseModel):
    """State of every part. What lies deeper than it says depends on what is configured."""

    model_config = examples(
        {
            "version": "0.1.0",
            "role": "writer",
            "embedders": [{"name": "all-MiniLM-L6-v2", "dimension": 384, "max_tokens": 256}],
            "reranker": None,
            "engine": {"trouble": None, "queued_tokens": {"query": 0, "bulk": 0}, "models": {}},
            "generators": {"extractive": {"kind": "extractive", "state": "ready"}},
            "default_llm": "extractive",
            "degraded": [],
            "parsing": {"processes": 2, "running": 0, "queued": 0, "fork_server": 4711, "confinement": []},
            "supervision": {"llm": {}, "bulk_work": "running"},
            "jobs": {"queued": 0, "running": 0, "oldest_s": 0.0, "raw_bytes": 0, "set_aside": 0},
            "maintenance_running": True,
            "collections": {},
            "aliases": {},
            "budgets_ms": {"total": 60000, "rerank": 500, "rewrite": 5000},
            "gpus": {"gpus": [], "absent": "no driver", "driver": None},
            "ledger": {"entries": [], "totals": []},
            "memory": {
                "level": "clear",
                "low": 0.9,
                "high": 0.95,
                "devices": {"cpu": {"used": 4294967296, "limit": 17179869184, "share": 0.25, "level": "clear"}},
            },
            "redis": None,
            "vllm": {},
        }
    )

    version: str
    role: Literal["writer", "replica"] = Field(description="A replica answers queries only.")
    embedders: list[dict[str, Any]] = Field(description="The models that embed, the default first.")
    reranker: dict[str, Any] | None
    engine: dict[str, Any] = Field(description="What waits, and the budget and the fitted cost of each model.")
    generators: dict[str, dict[str, Any]] = Field(description="Kind and state by name.")
    default_llm: str
    degraded: list[str] = Field(description="As readiness has it.")
    parsing: dict[str, Any] | None = Field(
        description="Of files: processes that read them, and their fork server; null at a replica."
    )
    supervision: dict[str, Any]
    jobs: dict[str, Any] | None = Field(description="Those that have not ended, in numbers; null at a replica.")
    maintenance_running: bool
    collections: dict[str, dict[str, Any]] = Field(description="State by name, or why it is unavailable.")
    aliases: dict[str, str] = Field(description="Collection by alias.")
    budgets_ms: dict[str, int] = Field(description="Budget by stage, and of the `total`.")
    gpus: dict[str, Any] = Field(description="What the driver says of each GPU, or why nothing does.")
    ledger: dict[str, Any] = Field(description="Who holds the memory of which device.")
    memory: MemoryReply
    redis: dict[str, Any] | None = Field(description="Whether it answers, and what is shared; null without one.")
    vllm: dict[str, VllmReply] = Field(description="Of the language models whose server is vLLM, by name.")
