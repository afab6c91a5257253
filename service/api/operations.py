"""Liveness, readiness, status and metrics."""

import asyncio
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from indexes.data_directory import has_room
from indexes.errors import IndexesError
from indexes.state import CollectionState
from service.api.access import NOTHING, needs
from service.api.description.failing import fails_with
from service.api.route import NativeRoute
from service.api.schemas.status import (
    DeviceMemoryReply,
    HealthReply,
    MemoryReply,
    ReadinessReply,
    StatusReply,
    VllmReply,
)
from service.api.services import Services, ServicesOf, Writing
from service.ingest.jobs.board import BoardState
from service.memory_watch import MemoryWatch
from service.telemetry.buckets import budgets_ms
from service.telemetry.health import Disk
from service.watermark import Level

router = APIRouter(route_class=NativeRoute, tags=["operations"])
# On the port of the API, or alone on one of its own.
exposition = APIRouter(route_class=NativeRoute, tags=["operations"])


_SAMPLE = 'quarry_requests_total{method="GET",route="/readyz",status="200"} 12.0\n'
_LEVELS: dict[Level, Literal["clear", "low", "high"]] = {
    Level.CLEAR: "clear",
    Level.LOW: "low",
    Level.HIGH: "high",
}
_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Search cannot serve; `reasons` says why.", "model": ReadinessReply}
}


@router.head("/healthz", operation_id="head_healthz", dependencies=[NOTHING], openapi_extra=fails_with())
@router.get("/healthz", dependencies=[NOTHING], openapi_extra=fails_with())
async def healthz() -> HealthReply:
    """The process answers."""
    return HealthReply(status="ok")


@router.head(
    "/readyz", operation_id="head_readyz", dependencies=[NOTHING], responses=_UNREADY, openapi_extra=fails_with()
)
@router.get("/readyz", dependencies=[NOTHING], responses=_UNREADY, openapi_extra=fails_with())
async def readyz(request: Request, response: Response, services: ServicesOf) -> ReadinessReply:
    """Whether search can serve.

    A 503 only when it cannot; what is lost beside that is named in `degraded`, damaged collections by their names only
    to a key of the whole node.
    """
    reasons = _reasons(services)
    response.status_code = 503 if reasons else 200
    degraded, caller = await _degraded(services), request.state.caller
    if caller is None or not caller.rights.is_whole:
        degraded = list(dict.fromkeys(rung.partition(":")[0] for rung in degraded))
    return ReadinessReply(status="unavailable" if reasons else "ready", reasons=reasons, degraded=degraded)


@router.get("/v1/status", dependencies=[needs("admin", is_whole=True)], openapi_extra=fails_with())
async def status(services: ServicesOf) -> StatusReply:
    """State of every dependency and of every segment."""
    measured = asdict(await services.ledger.read())
    return StatusReply(
        version=version("quarry"),
        role=services.settings.server.role,
        embedders=[asdict(info) for info in services.embedders.infos()],
        reranker=asdict(services.reranker.info) if services.reranker else None,
        engine=services.engine.describe(),
        generators={name: generator.describe() for name, generator in services.generators.items()},
        default_llm=services.settings.default_llm,
        degraded=await _degraded(services),
        parsing=services.own.parsers.describe() if services.own else None,
        supervision=services.supervised.describe(),
        jobs=asdict(_jobs(services, services.own)) if services.own else None,
        maintenance_running=services.own is not None and services.own.maintenance.is_running,
        collections=await _collections(services),
        aliases=services.library.aliases(),
        budgets_ms=budgets_ms(services.settings.budgets),
        gpus=measured["gpus"],
        ledger=measured["ledger"],
        memory=_memory(services.memory),
        redis=services.shared.describe(),
        vllm={name: VllmReply.model_validate(asdict(watch.describe())) for name, watch in services.vllms.items()},
    )


@exposition.get(
    "/metrics",
    dependencies=[needs("admin", is_whole=True)],
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": _SAMPLE}}}},
    openapi_extra=fails_with(),
)
async def metrics(services: ServicesOf) -> Response:
    """Prometheus exposition."""
    services.engine.measure()
    measured = await services.ledger.read()
    services.metrics.gpu.follow(measured.gpus)
    services.metrics.ledger.follow(measured.ledger)
    services.metrics.health.follow(
        is_ready=not _reasons(services),
        degraded=await _degraded(services),
        disk=await asyncio.to_thread(Disk.of, services.settings.data_dir) if services.own else None,
    )
    await _collections(services)
    if services.own is not None:
        _jobs(services, services.own)
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _memory(watch: MemoryWatch) -> MemoryReply:
    devices = {
        one.filling.device: DeviceMemoryReply(
            used=one.filling.used, limit=one.filling.limit, share=round(one.filling.share, 4), level=_LEVELS[one.level]
        )
        for one in watch.devices
    }
    return MemoryReply(level=_LEVELS[watch.level], low=watch.marks.low, high=watch.marks.high, devices=devices)


def _jobs(services: Services, own: Writing) -> BoardState:
    """The open jobs; the gauges follow them."""
    state = own.jobs.describe()
    services.metrics.jobs.follow(state.queued, state.running, state.oldest_s, state.raw_bytes)
    return state


def _reasons(services: Services) -> list[str]:
    """Why search cannot serve."""
    troubles = {"embedder": services.engine.trouble, "keys": services.keys.trouble}
    if services.own is None and services.milvus is not None:  # a writer reads documents all the same
        troubles["milvus"] = services.milvus.trouble
    return [f"{what}: {trouble}" for what, trouble in troubles.items() if trouble]


async def _degraded(services: Services) -> list[str]:
    """What is known without opening anything: readiness is asked for every few seconds."""
    has_failed = any(generator.describe()["state"] != "ready" for generator in services.generators.values())
    # A file system may take its time.
    has_space = services.own is None or await asyncio.to_thread(has_room, services.settings.data_dir)
    milvus = ["milvus"] if services.milvus is not None and services.milvus.trouble else []
    collections = [f"collection:{name}" for name in services.library.damaged()]
    return [
        *(["llm"] if has_failed else []),
        *collections,
        *([] if has_space else ["disk"]),
        *milvus,
        *services.shared.lost,
    ]


async def _collections(services: Services) -> dict[str, dict[str, Any]]:
    """State by name; the gauges follow it."""
    described: dict[str, dict[str, Any]] = {}
    states: dict[str, CollectionState] = {}
    for name in services.library.names():
        try:
            services.library.get(name)
            route, state = await asyncio.to_thread(
                services.library.read, name, lambda route: (route, route.primary.describe())
            )
        except IndexesError as error:  # another embedder's, being dropped, or unreadable: the others still have a state
            described[name] = {"unavailable": str(error)}
            continue
        reembedding = services.reembedding_of(route)
        states[name] = state
        described[name] = asdict(state) | {"reembedding": reembedding and asdict(reembedding)}
    services.metrics.index.follow(states, services.library.damaged())
    return described
