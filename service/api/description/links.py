"""Which reply says what another request can be made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NAMED = {"collection": "$response.body#/name"}
_SAME = {"collection": "$request.path.collection"}
_FIRST = {"collection": "$response.body#/data/0/name"}
_ALIAS = {"name": "$response.body#/name"}
_ASKED = {"query": "When is the audit?", "collection": "$request.path.collection"}

_CHAT = {"model": "$request.path.collection", "messages": [{"role": "user", "content": "When is the audit?"}]}


@dataclass(frozen=True, slots=True)
class Link:
    """From the replies of one operation to another, whose parameters they hold."""

    source: str
    statuses: tuple[str, ...]
    target: str
    parameters: Mapping[str, str]
    body: Mapping[str, object] | None = None


def _written() -> Iterator[Link]:
    """What follows the writing of a document."""
    written = ("200", "201")
    for target in ("get_document", "put_document", "delete_document"):
        yield Link("put_document", written, target, _SAME | {"id": "$response.body#/id"})
    for target in ("get_collection", "list_documents", "rebuild", "calibrate", "verify"):
        yield Link("put_document", written, target, _SAME)
    for target in ("search", "query"):
        yield Link("put_document", written, target, {}, _ASKED)
    yield Link("put_document", written, "chat_completions", {}, _CHAT)


def _created() -> Iterator[Link]:
    """What follows the making of a collection or an alias."""
    created = ("200", "201")
    yield Link("list_collections", ("200",), "put_collection", {"collection": "drafts"})
    for target in ("get_collection", "list_documents", "put_document"):
        yield Link("list_collections", ("200",), target, _FIRST)
    for target in ("get_collection", "list_documents", "put_document", "put_batch", "delete_collection"):
        yield Link("put_collection", created, target, _NAMED)
    yield Link("list_aliases", ("200",), "put_alias", {"name": "current"}, {"collection": "drafts"})
    for target in ("get_alias", "delete_alias"):
        yield Link("put_alias", created, target, _ALIAS)
    yield Link("put_alias", created, "get_collection", {"collection": "$response.body#/name"})


def _accepted() -> Iterator[Link]:
    """What follows the promise of a document, or the list of such."""
    for source in ("put_document", "put_batch"):
        for target in ("get_job", "cancel_job"):
            yield Link(source, ("202",), target, {"id": "$response.body#/job_id"})
    yield Link("list_jobs", ("200",), "list_jobs", {"cursor": "$response.body#/next_cursor"})
    for target in ("get_job", "cancel_job"):
        yield Link("list_jobs", ("200",), target, {"id": "$response.body#/data/0/id"})


def _keys() -> Iterator[Link]:
    """What follows the making of a key, or the list of them."""
    yield Link("create_key", ("201",), "revoke_key", {"key_id": "$response.body#/id"})
    yield Link("list_keys", ("200",), "revoke_key", {"key_id": "$response.body#/data/0/id"})


def _listed() -> Iterator[Link]:
    """What follows a page of documents."""
    yield Link("list_documents", ("200",), "list_documents", _SAME | {"cursor": "$response.body#/next_cursor"})
    for target in ("get_document", "delete_document"):
        yield Link("list_documents", ("200",), target, _SAME | {"id": "$response.body#/data/0/id"})
    yield Link("delete_document", ("200",), "get_document", _SAME | {"id": "$request.path.id"})


LINKS: tuple[Link, ...] = (*_created(), *_written(), *_accepted(), *_keys(), *_listed())


def links_of(operation: str, status: str) -> dict[str, Any]:
    """The Link Objects of a reply, by the name of what they lead to."""
    return {
        link.target: {"operationId": link.target, "parameters": dict(link.parameters)}
        | ({"requestBody": dict(link.body)} if link.body else {})
        for link in LINKS
        if link.source == operation and status in link.statuses
    }
