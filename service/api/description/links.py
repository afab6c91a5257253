"""Which reply says what another request can be made of."""

from dataclasses import dataclass
from typing import Any

_COLLECTION = {"collection": "$response.body#/name"}
_SAME = {"collection": "$request.path.collection"}
_WRITTEN = _SAME | {"id": "$response.body#/id"}


@dataclass(frozen=True, slots=True)
class Link:
    """From the replies of one operation to another."""

    source: str
    statuses: tuple[str, ...]
    target: str
    parameters: dict[str, str]
    body: dict[str, Any] | None = None


LINKS = (
    Link("put_collection", ("200", "201"), "get_collection", _COLLECTION),
    Link("put_collection", ("200", "201"), "put_document", _COLLECTION),
    Link("put_collection", ("200", "201"), "list_documents", _COLLECTION),
    Link("put_collection", ("200", "201"), "delete_collection", _COLLECTION),
    Link("put_document", ("200", "201"), "get_document", _WRITTEN),
    Link("put_document", ("200", "201"), "put_document", _WRITTEN),
    Link("put_document", ("200", "201"), "delete_document", _WRITTEN),
    Link("put_document", ("200", "201"), "get_collection", _SAME),
    Link("put_document", ("200", "201"), "rebuild", _SAME),
    Link("put_document", ("200", "201"), "calibrate", _SAME),
    Link("put_document", ("200", "201"), "verify", _SAME),
    Link(
        "put_document",
        ("200", "201"),
        "search",
        {},
        {"query": "When is the audit?", "collection": "$request.path.collection"},
    ),
    Link(
        "put_document",
        ("200", "201"),
        "query",
        {},
        {"query": "When is the audit?", "collection": "$request.path.collection"},
    ),
    Link("list_documents", ("200",), "list_documents", _SAME | {"cursor": "$response.body#/next_cursor"}),
    Link("list_documents", ("200",), "get_document", _SAME | {"id": "$response.body#/data/0/id"}),
    Link("put_alias", ("200", "201"), "get_alias", {"name": "$response.body#/name"}),
    Link("put_alias", ("200", "201"), "delete_alias", {"name": "$response.body#/name"}),
    Link("put_alias", ("200", "201"), "get_collection", {"collection": "$response.body#/name"}),
)


def links_of(operation: str, status: str) -> dict[str, Any]:
    """The Link Objects of a reply, by the name of what they lead to."""
    return {
        link.target: {"operationId": link.target, "parameters": link.parameters}
        | ({"requestBody": link.body} if link.body else {})
        for link in LINKS
        if link.source == operation and status in link.statuses
    }
