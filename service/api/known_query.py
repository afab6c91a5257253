"""Query parameters that no route reads are refused: a misspelt one would change nothing and say nothing."""

from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute

# What a router says of it in the document, which has more of it.
REFUSED_QUERY: dict[int | str, dict[str, Any]] = {
    422: {"description": "A query parameter that the route does not have."}
}


async def refuse_unknown_query(request: Request) -> None:
    """For native routes; in others' shapes their clients may send what they like.

    Raises:
        RequestValidationError: naming each parameter that the route does not have, with its value.
    """
    if not request.query_params:
        return
    route: APIRoute = request.scope["route"]
    known = {field.alias for field in get_flat_params(route.dependant) if isinstance(field.field_info, Query)}
    unknown = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "there is no such query parameter", "input": value}
        for name, value in request.query_params.items()
        if name not in known
    ]
    if unknown:
        raise RequestValidationError(unknown)
