"""Query parameters that no route reads are refused: a misspelt one would change nothing and say nothing."""

from collections.abc import Collection
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

# What a router says of it in the document, which has more of it.
REFUSED_QUERY: dict[int | str, dict[str, Any]] = {
    422: {"description": "A query parameter that the route does not have."}
}


def refuse_unknown_query(request: Request, known: Collection[str]) -> None:
    """Refuse parameters that are not among ``known``.

    Raises:
        RequestValidationError: naming each parameter that the route does not have, with its value.
    """
    if not request.query_params:
        return
    unknown = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "there is no such query parameter", "input": value}
        for name, value in request.query_params.items()
        if name not in known
    ]
    if unknown:
        raise RequestValidationError(unknown)
