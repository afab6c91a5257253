"""Servers of language models: taken out of use, and back."""

from fastapi import APIRouter

from service.api.access import needs
from service.api.description.failing import fails_with
from service.api.route import NativeRoute
from service.api.schemas.llms import DrainBody, ServerBody, ServerReply
from service.api.services import Services, ServicesOf
from service.errors import LlmServerNotFoundError
from service.generation.server_pool import ServerPool

router = APIRouter(
    route_class=NativeRoute, prefix="/v1/admin/llms", tags=["admin"], dependencies=[needs("admin", is_whole=True)]
)


@router.post("/{llm}:drain", openapi_extra=fails_with(LlmServerNotFoundError))
async def drain_server(llm: str, body: DrainBody, services: ServicesOf) -> ServerReply:
    """Give a server of a language model nothing new. What it writes goes on to its end.

    Once `streams` is 0 it may be stopped. With the last server drained, questions get the extractive answer. A start
    of this process asks all servers again.
    """
    server = _pool(services, llm).drained(body.server, is_drained=True)
    await server.is_idle_within(body.wait_ms / 1000)
    return ServerReply.of(llm, server)


@router.post("/{llm}:undrain", openapi_extra=fails_with(LlmServerNotFoundError))
async def undrain_server(llm: str, body: ServerBody, services: ServicesOf) -> ServerReply:
    """Ask a server again that was drained, as soon as it is well."""
    return ServerReply.of(llm, _pool(services, llm).drained(body.server, is_drained=False))


def _pool(services: Services, llm: str) -> ServerPool:
    pool = services.pools.get(llm)
    if pool is None:
        names = ", ".join(services.pools) or "none"
        raise LlmServerNotFoundError(f"no language model with servers is called {llm!r}; there are {names}")
    return pool
