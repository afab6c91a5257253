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
    degraded: list[str] = Field(description="`llm`, `disk`, and `collection:NAME` of each that is damaged.")


class StatusReply(BaseModel):
    """State of every part. What lies deeper than it says depends on what is configured."""

    model_config = examples(
        {
            "version": "0.1.0",
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
            "gpus": {"gpus": [], "absent": "no driver", "driver": None},
            "ledger": {"entries": [], "totals": []},
        }
    )

    version: str
    embedders: list[dict[str, Any]] = Field(description="The models that embed, the default first.")
    reranker: dict[str, Any] | None
    engine: dict[str, Any] = Field(description="What waits, and the budget and the fitted cost of each model.")
    generators: dict[str, dict[str, Any]] = Field(description="Kind and state by name.")
    default_llm: str
    degraded: list[str] = Field(description="As readiness has it.")
    parsing: dict[str, Any] = Field(description="Of files: processes that read them, and their fork server.")
    supervision: dict[str, Any]
    jobs: dict[str, Any] = Field(description="Those that have not ended, in numbers.")
    maintenance_running: bool
    collections: dict[str, dict[str, Any]] = Field(description="State by name, or why it is unavailable.")
    aliases: dict[str, str] = Field(description="Collection by alias.")
    gpus: dict[str, Any] = Field(description="What the driver says of each GPU, or why nothing does.")
    ledger: dict[str, Any] = Field(description="Who holds the memory of which device.")
