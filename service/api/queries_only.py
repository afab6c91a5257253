"""What a replica serves: questions, and what helps to ask them. For all else there is the writer.

What is not named here a replica refuses, so a new route is the writer's alone until it is put here.
"""

from fastapi import FastAPI, Request

from service.errors import QueriesOnlyError
from service.server_settings import Role

SERVED = frozenset(
    {
        *(("POST", f"/v1/{what}") for what in ("search", "query", "chat/completions", "embeddings", "rerank")),
        ("POST", "/v2/rerank"),
        *(("GET", f"/v1/{what}") for what in ("collections", "collections/{collection}", "aliases", "aliases/{name}")),
        *(("GET", f"/v1/{what}") for what in ("models", "models/{model}", "status")),
        *((method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")),
        *(("GET", path) for path in ("/metrics", "/openapi.json", "/docs")),
        # Of the servers that this process asks; each has its own view of them.
        ("POST", "/v1/admin/llms/{llm}:drain"),
        ("POST", "/v1/admin/llms/{llm}:undrain"),
    }
)
"""Method and path of the routes that a replica has beside the playground."""

_PLAYGROUND = ("/", "/playground/")


def is_served(method: str, path: str) -> bool:
    """Whether a replica serves a route, by its path in the OpenAPI document."""
    return (method, path) in SERVED or path == _PLAYGROUND[0] or path.startswith(_PLAYGROUND[1])


def install(app: FastAPI, role: Role) -> None:
    """Have every route of ``app`` ask ``check_served``."""
    app.state.role = role


def check_served(request: Request, path: str) -> None:
    """By the head of a request, before anything else of it is looked at.

    Args:
        path: of the route, as the OpenAPI document has it.

    Raises:
        QueriesOnlyError: this is a replica, which does not serve it.
    """
    if getattr(request.app.state, "role", "writer") == "replica" and not is_served(request.method, path):
        raise QueriesOnlyError(request.method, request.url.path)
