"""The applications: the routes, what stands in front of them, and the lifespan that has everything constructed."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.api import (
    admin,
    aliases,
    batch,
    chat,
    collections,
    documents,
    embeddings,
    entrance,
    jobs,
    keys,
    llms,
    model_list,
    operations,
    playground,
    problems,
    queries_only,
    question,
    reference,
    rerank,
    upkeep,
)
from service.api.known_query import REFUSED_QUERY
from service.api.playground import Playground
from service.api.reference import Reference
from service.api.services import Services
from service.construction import Construction
from service.errors import ExtraMissingError
from service.outside import Outside
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.traces import Traces
from service.trace_settings import TraceSettings

__all__ = ["Outside", "create_app", "create_metrics_app"]

# Connections of the metrics' own port, beside all those of the API's.
_SCRAPERS = 16

_log = logging.getLogger("quarry.app")


def create_app(settings: Settings, outside: Outside | None = None) -> FastAPI:
    """The application, for everything an operator can set."""
    metrics = Metrics(settings.budgets)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            # Before what takes long, and ended after it.
            app.state.traces = await _traces(stack, settings.traces, metrics)
            app.state.services = await Construction(stack, settings, metrics, outside or Outside()).services()
            _log.info("ready", extra={"collections": len(app.state.services.library.names())})
            yield

    app = FastAPI(
        title="Quarry",
        summary="Answers from your own documents, on your own node.",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # reference.py serves it
        generate_unique_id_function=_operation_id,
    )
    entrance.install(app, settings, metrics)
    problems.install(app, metrics)
    queries_only.install(app, settings.server.role)
    for module in (question, documents, batch, jobs, collections, aliases, upkeep, operations):
        app.include_router(module.router, responses=REFUSED_QUERY)
    if settings.server.metrics_port is None:
        app.include_router(operations.exposition, responses=REFUSED_QUERY)
    for module in (admin, keys, llms, reference):
        app.include_router(module.router, responses=REFUSED_QUERY)
    for module in (chat, model_list, embeddings, rerank, playground):  # in others' shapes, and a browser's
        app.include_router(module.router)
    app.state.reference, app.state.playground = Reference(app, settings), Playground()
    return app


def create_metrics_app(services: Services) -> FastAPI:
    """GET /metrics alone, guarded as it is on the API's port, for as long as the services last."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    entrance.install(app, services.settings, services.metrics, most=_SCRAPERS)
    problems.install(app, services.metrics)
    app.include_router(operations.exposition)
    app.state.services = services
    return app


async def _traces(stack: AsyncExitStack, settings: TraceSettings, metrics: Metrics) -> Traces | None:
    """None where they are off.

    Raises:
        ExtraMissingError: they are on, and the extra is not installed.
    """
    if settings.endpoint is None:
        return None
    try:
        from service.telemetry.otel import OtelTraces  # noqa: PLC0415  the SDK is an extra
    except ImportError as error:
        missing = (error.name or "opentelemetry").partition(".")[0]
        raise ExtraMissingError("traces.endpoint", settings.endpoint, missing, "otel") from error
    return await stack.enter_async_context(OtelTraces(settings, metrics.traces))


def _operation_id(route: APIRoute) -> str:
    return route.name
