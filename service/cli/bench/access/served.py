"""Four servers over one engine, in a process of their own: guarded, without keys, and with nothing in front.

The last ones are FastAPI with a route that takes what it is sent, and Starlette alone with the same.

Usage: ``python -m service.cli.bench.access.served CONFIG DATA_DIR PORT PORT PORT PORT``
"""

import asyncio
import sys
import tempfile
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from indexes.base import SearchParams
from service.access.keys import Keys
from service.api.connection import Listening
from service.api.context import RequestContext, timings_of
from service.api.hang_up import unless_hung_up
from service.api.schemas.question import ChunkReply, SearchReply, WarningReply
from service.api.services import Services
from service.app import create_app
from service.budget import Deadline
from service.cli.interpreter import settle_memory, share_the_cores, share_the_interpreter
from service.question import Question
from service.settings import Settings, load_settings
from service.telemetry.logs import configure_logging

_KINDS = 4
_PATH = "/v1/search"


@dataclass(frozen=True, slots=True)
class Unguarded:
    """POST /v1/search that believes what it is sent."""

    services: Services

    def app(self) -> FastAPI:
        """With the id, the metrics and the line in the log that every request has; FastAPI checks nothing of it."""
        app = FastAPI(openapi_url=None)
        app.add_api_route(_PATH, self._search, methods=["POST"], response_model=None)
        app.add_middleware(RequestContext, metrics=self.services.metrics)
        return app

    def bare(self) -> Starlette:
        """The same without FastAPI."""
        app = Starlette(routes=[Route(_PATH, self._search, methods=["POST"])])
        app.add_middleware(RequestContext, metrics=self.services.metrics)
        return app

    async def _search(self, request: Request) -> Response:
        asked, timings = orjson.loads(await request.body()), timings_of(request)
        retrieval = self.services.settings.retrieval
        question = Question(
            text=asked["query"],
            collection=asked["collection"],
            params=SearchParams(top_k=asked["top_k"]),
            deadline=Deadline.after(self.services.settings.budgets.total_ms),
            dense_weight=retrieval.dense_weight if retrieval.hybrid else None,
            candidates=self.services.settings.rerank.default_candidates,
            request_id=request.state.request_id,
            timings=timings,
        )
        found = await unless_hung_up(request, self.services.rag.retrieve(question))
        reply = SearchReply(
            id=uuid.uuid4().hex,
            chunks=[ChunkReply.of(hit) for hit in found.hits],
            warnings=WarningReply.all_of(found),
            timings_ms=timings.milliseconds(),
            index_version=found.index_version,
            explain=None,
        )
        return Response(reply.__pydantic_serializer__.to_json(reply), media_type="application/json")


async def serve(settings: Settings, ports: list[int]) -> None:
    """Until the process is ended."""
    guarded = create_app(settings)
    async with guarded.router.lifespan_context(guarded):
        services: Services = guarded.state.services
        with tempfile.TemporaryDirectory() as empty:
            keyless = create_app(settings)
            keyless.state.services = replace(services, keys=Keys(Path(empty)))
        settle_memory()
        unguarded = Unguarded(services)
        kinds = (guarded, keyless, unguarded.app(), unguarded.bare())
        await asyncio.gather(*(_listen(app, keyless, port) for app, port in zip(kinds, ports, strict=True)))


async def _listen(app: FastAPI | Starlette, keyless: FastAPI, port: int) -> None:
    """As `quarry serve` does; its connections are bounded for all of them."""
    connections = getattr(app.state, "connections", keyless.state.connections)
    await uvicorn.Server(Listening(app, connections, host="127.0.0.1", port=port, lifespan="off")).serve()


def main() -> None:
    """The arguments are those of this process."""
    _, config, data_dir, *ports = sys.argv
    settings = load_settings(Path(config), {"data_dir": data_dir})
    share_the_cores()
    configure_logging(settings.server.log_level)
    share_the_interpreter()
    if len(ports) != _KINDS:
        sys.exit(f"{len(ports)} ports; {_KINDS} are wanted")
    loop_factory = uvicorn.Config(Starlette()).get_loop_factory()  # as `quarry serve`
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(settings, [int(port) for port in ports]))


if __name__ == "__main__":
    main()
