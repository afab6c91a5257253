"""Which methods a path has: several routes may serve one, and a router tells of the first alone."""

from fastapi import Request
from starlette.routing import Match

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def methods_of(request: Request) -> list[str]:
    """What may be asked of the path of ``request``, as a reply's ``Allow`` lists it."""
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
