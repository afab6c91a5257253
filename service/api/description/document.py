"""The OpenAPI document: what FastAPI reads from signatures, and what this service knows of its routes beside that."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.authentication import OPEN
from service.api.description import components, parameters
from service.api.description.failing import CODES, responses_of
from service.api.description.links import links_of
from service.api.drain import ALWAYS_ANSWERED
from service.api.media_type import JSON
from service.api.queries_only import is_served
from service.api.schemas.chat_stream import ChatChunk, ChatFailure
from service.api.schemas.documents import BatchLine, BatchLineReply, DocumentBody, FormBody
from service.api.schemas.events import CitationEvent, DoneEvent, ErrorEvent, RetrievalEvent, TokenEvent
from service.api.schemas.problem import Problem
from service.settings import Settings

TAGS = (
    {"name": "questions", "description": "Answers with citations, and the search under them."},
    {"name": "documents", "description": "What is searched: written, read, listed and deleted."},
    {"name": "jobs", "description": "Documents on their way: what a 202 has promised."},
    {"name": "collections", "description": "Where documents are kept, and how they are embedded."},
    {"name": "aliases", "description": "Second names of collections, moved at once."},
    {"name": "models", "description": "Models by themselves, in the shapes that others' clients speak."},
    {"name": "upkeep", "description": "What an operator asks of one collection's index."},
    {"name": "admin", "description": "What an operator asks of the whole server."},
    {"name": "operations", "description": "Liveness, readiness, state, metrics and this description."},
)

# Models that no signature names: bodies that are read by hand, and the events of a stream.
_BODIES: tuple[type[BaseModel], ...] = (DocumentBody, FormBody, BatchLine)
_REPLIES: tuple[type[BaseModel], ...] = (
    Problem,
    BatchLineReply,
    RetrievalEvent,
    TokenEvent,
    CitationEvent,
    DoneEvent,
    ErrorEvent,
    ChatChunk,
    ChatFailure,
)

Json = dict[str, Any]

_REFUSED_BY_FASTAPI = "HTTPValidationError"
_BOUNDS = {"minimum", "maximum"}


def describe(app: FastAPI, settings: Settings) -> Json:
    """The document of an application, with the limits that its settings give it."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description or None,
        tags=list(TAGS),
        routes=app.routes,
    )
    for path, method, operation in operations(document):
        _complete(path, method, operation)
    schemas: Json = document["components"]["schemas"]
    del schemas["HTTPValidationError"], schemas["ValidationError"]
    schemas |= _more_schemas() | components.SCHEMAS
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "headers": components.HEADERS,
        "securitySchemes": components.SECURITY,
    }
    _resolve(document, settings)
    for _, _, operation in operations(document):
        _show(operation, schemas)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and Operation Object of every route."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: Json) -> None:
    """Everything that is the same for all routes, and what they declared."""
    said = operation.pop("description", "")
    operation["summary"], _, description = said.partition("\n\n")
    operation["summary"] = operation["summary"].replace("\n", " ").removesuffix(".")
    if description:
        operation["description"] = description
    operation["security"] = [{}] if path in OPEN else [{"key": []}, {}]
    operation["parameters"] = [parameters.complete(one) for one in operation.get("parameters", [])]
    failing = _codes(path, method, operation)
    own = {
        status: reply
        for status, reply in operation["responses"].items()
        if status not in failing or _REFUSED_BY_FASTAPI not in str(reply.get("content", _REFUSED_BY_FASTAPI))
    }
    replies = responses_of(failing)
    for status, reply in own.items():
        replies[status] = _both(reply, replies[status]) if status in replies else reply
    operation["responses"] = {status: replies[status] for status in sorted(replies)}
    for status, reply in operation["responses"].items():
        _complete_reply(operation["operationId"], status, reply)
        if method == "head":
            reply.pop("content", None)


def _both(reply: Json, problem: Json) -> Json:
    """A status that a route gives for a reason of its own, and for another that all routes share."""
    headers = {name: header for name, header in problem["headers"].items() if name in reply.get("headers", {})}
    return {**reply, "headers": headers, "content": reply["content"] | problem["content"]}


def _complete_reply(operation: str, status: str, reply: Json) -> None:
    if reply["description"] == "Successful Response":
        reply["description"] = HTTPStatus(int(status)).phrase
    always = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", "Server-Timing")}
    reply["headers"] = always | reply.get("headers", {})
    links = links_of(operation, status)
    if links:
        reply["links"] = links


def _codes(path: str, method: str, operation: Json) -> dict[str, list[str]]:
    """The codes by status: those of the route's own errors, and those that its shape brings with it."""
    codes: dict[str, list[str]] = {status: list(own) for status, own in operation.pop(CODES, {}).items()}

    def also(status: int, code: str) -> None:
        codes.setdefault(str(status), []).append(code)

    also(500, "internal_error")
    if path not in OPEN:
        also(401, "unauthenticated")
        also(403, "forbidden")
        also(429, "rate_limited")
    also(421, "misdirected_request")
    if not is_served(method.upper(), path):
        also(503, "replica_queries_only")
    if path not in ALWAYS_ANSWERED:
        also(503, "overloaded")  # while the server drains
    if "422" in operation["responses"]:
        also(422, "invalid_request")
    if "{" in path:
        also(404, "not_found")  # an encoded slash in a name leads to no route
    if "requestBody" in operation:
        also(400, "invalid_request")  # not JSON
        also(408, "request_timeout")
        also(413, "payload_too_large")
        if JSON in operation["requestBody"]["content"]:
            also(415, "unsupported_media_type")
    return codes


def _more_schemas() -> Json:
    named = [(model, "validation") for model in _BODIES] + [(model, "serialization") for model in _REPLIES]
    _, defined = models_json_schema(named, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: Json = defined["$defs"]
    return schemas


def _resolve(node: Any, settings: Settings) -> None:  # noqa: ANN401  any part of the document
    """Put limits in the place of the settings that give them, and references in that of names."""
    if isinstance(node, dict):
        for keyword in _BOUNDS & node.keys():
            node[keyword] = int(node[keyword]) if float(node[keyword]).is_integer() else node[keyword]
        for keyword, setting in node.get("x-settings", {}).items():
            node[keyword] = _setting(settings, setting)
        if "x-schema" in node:
            name = node.pop("x-schema")
            _refer(node, f"#/components/schemas/{name}")
        if isinstance(examples := node.get("examples"), list):
            node["examples"] = [json.loads(example) if isinstance(example, str) else example for example in examples]
        for child in node.values():
            _resolve(child, settings)
    elif isinstance(node, list):
        for child in node:
            _resolve(child, settings)


def _refer(node: Json, reference: str) -> None:
    """Let the object in ``node``, which may be one of several things, be what is referred to."""
    objects = [option for option in node.get("anyOf", []) if option.get("type") == "object"] or [node]
    for option in objects:
        for keyword in ("type", "additionalProperties"):
            option.pop(keyword, None)
        option["$ref"] = reference


def _setting(settings: Settings, path: str) -> int:
    group, _, name = path.partition(".")
    value: int = getattr(getattr(settings, group), name)
    return value


def _show(operation: Json, schemas: Json) -> None:
    """Give bodies the examples that their schemas have."""
    for owner in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in owner.get("content", {}).values():
            schema = content.get("schema", {})
            options = [schema, *schema.get("anyOf", [])]
            names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
            examples = [example for name in names for example in schemas[name].get("examples", [])]
            if examples and "examples" not in content and "example" not in content:
                content["examples"] = {f"example-{i}": {"value": value} for i, value in enumerate(examples, 1)}
