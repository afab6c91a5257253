"""The OpenAPI document against the routes, the error table and itself."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from service.api.description.document import TAGS, describe, operations
from service.api.description.failing import CODES, fails_with
from service.api.description.links import LINKS
from service.api.description.page import markdown
from service.api.playground import PATHS
from service.api.problems import KINDS, TABLE, kind_of_type
from service.app import create_app
from service.settings import Settings

Json = dict[str, Any]

# Kinds that no operation gives: a wrong method is asked of no operation.
BESIDE = {"method_not_allowed"}
# Problem, so every reply's code is narrowed in an allOf.
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def document(app: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> Json:
    return describe(app, Settings(data_dir=tmp_path_factory.mktemp("data")))


def routes_of(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from routes_of(route.original_router.routes)  # type: ignore[attr-defined]  # an included router


def served(app: FastAPI) -> dict[tuple[str, str], APIRoute]:
    return {
        (method.lower(), route.path_format): route
        for route in routes_of(app.router.routes)
        for method in route.methods
        if route.path_format not in PATHS  # a page and its files, which are no part of the API
    }


def missing(route: APIRoute, operation: Json) -> Iterator[str]:
    """What whoever added a route has yet to say of it."""
    yield from missing_of_route(route, operation)
    for parameter in operation["parameters"]:
        yield from missing_of_parameter(parameter)
    bodies = [("the request", operation["requestBody"])] if "requestBody" in operation else []
    replies = [(f"the reply {status}", reply) for status, reply in operation["responses"].items()]
    for name, owner in bodies + replies:
        for media_type, content in owner.get("content", {}).items():
            if not content.get("examples") and "example" not in content:
                yield f"an example of {name} in {media_type}: model_config = examples(...) of its model"
            if not content.get("schema"):
                yield f"a schema of {name} in {media_type}: a response model, or responses={{...}}"


def missing_of_route(route: APIRoute, operation: Json) -> Iterator[str]:
    if CODES not in (route.openapi_extra or {}):
        yield "openapi_extra=fails_with(...) with the errors that it raises itself (service/api/description/failing.py)"
    if not operation["summary"]:
        yield "a docstring: its first line is the summary, the rest the description"
    if not operation.get("tags") or operation["tags"][0] not in {tag["name"] for tag in TAGS}:
        yield "a tag of TAGS in service/api/description/document.py"


def missing_of_parameter(parameter: Json) -> Iterator[str]:
    name = parameter["name"]
    if not parameter.get("description"):
        yield f"a description of {name}: in PATH_PARAMETERS (description/parameters.py), or Query(description=...)"
    if "example" not in parameter and not {"default", "examples"} & parameter["schema"].keys():
        yield f"an example of the parameter {name}"


def test_every_route_is_in_the_document_and_the_other_way_round(app: FastAPI, document: Json) -> None:
    described = {(method, path) for path, method, _ in operations(document)}
    assert set(served(app)) == described


def test_every_route_declares_what_no_signature_says(app: FastAPI, document: Json) -> None:
    routes = served(app)
    said = [
        f"{method.upper()} {path} needs {what}"
        for path, method, operation in operations(document)
        for what in missing(routes[method, path], operation)
    ]
    assert not said, "\n".join(said)


def test_a_route_without_declarations_is_told_what_to_add(app: FastAPI) -> None:
    bare = FastAPI()

    @bare.get("/v1/things/{thing}")
    async def thing(thing: str) -> Json:
        return {"thing": thing}

    document = describe(bare, Settings())
    (route,) = (route for route in bare.routes if isinstance(route, APIRoute))
    (operation,) = (operation for _, _, operation in operations(document))
    said = list(missing(route, operation))
    for what in ("fails_with", "docstring", "tag", "description of thing", "example of the parameter", "reply 200"):
        assert any(what in line for line in said), what


def test_operation_ids_are_stable_and_lead_somewhere(document: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name.islower() for name in names)
    assert {link.source for link in LINKS} | {link.target for link in LINKS} <= set(names)
    declared = {
        (operation["operationId"], link)
        for _, _, operation in operations(document)
        for reply in operation["responses"].values()
        for link in reply.get("links", {})
    }
    assert declared == {(link.source, link.target) for link in LINKS}


def test_every_problem_is_declared_somewhere_and_has_its_row(document: Json) -> None:
    declared = {
        (int(status), code)
        for _, _, operation in operations(document)
        for status, reply in operation["responses"].items()
        if PROBLEM in reply.get("content", {})
        for code in codes_of(reply["content"][PROBLEM])
    }
    assert declared == {(kind.status, kind.code) for kind in KINDS if kind.code not in BESIDE}


def codes_of(content: Json) -> list[str]:
    codes: list[str] = content["schema"]["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"]
    return codes


def test_an_error_without_a_row_cannot_be_declared() -> None:
    with pytest.raises(LookupError, match=r"ZeroDivisionError has no row .* service/api/problems.py"):
        fails_with(ZeroDivisionError)
    for error, kind in TABLE[:-1]:
        assert kind_of_type(error) is kind
        assert fails_with(error)[CODES] == {str(kind.status): [kind.code]}


def test_every_example_is_what_its_schema_says(document: Json) -> None:
    checked = 0
    for path, method, operation in operations(document):
        owners = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for owner in owners for content in owner.get("content", {}).items()):
            for value in examples_of(*content):
                valid(document, content[1]["schema"], value, f"{method} {path}")
                checked += 1
        for parameter in operation["parameters"]:
            if "example" in parameter:
                valid(document, parameter["schema"], parameter["example"], f"{method} {path} {parameter['name']}")
    for name, schema in document["components"]["schemas"].items():
        for value in schema.get("examples", []):
            valid(document, schema, value, name)
    assert checked > 200


def examples_of(media_type: str, content: Json) -> Iterator[object]:
    values = [example["value"] for example in content.get("examples", {}).values()]
    for value in values + ([content["example"]] if "example" in content else []):
        match media_type:
            case "application/x-ndjson":
                yield [json.loads(line) for line in value.splitlines()]
            case "text/event-stream":
                yield from events_of(value)
            case _:
                yield value


def events_of(stream: str) -> list[Json]:
    return [dict(line.split(": ", 1) for line in one.split("\n")) for one in stream.strip().split("\n\n")]


def valid(document: Json, schema: Json, value: object, where: str) -> None:
    whole = {**schema, "components": document["components"]}
    errors = [error.message for error in jsonschema_rs.validator_for(whole).iter_errors(value)]
    assert not errors, f"{where}: {errors}"


def test_an_example_that_is_wrong_is_seen(document: Json) -> None:
    with pytest.raises(AssertionError, match="there"):
        valid(document, {"$ref": "#/components/schemas/SearchBody"}, {"query": "x", "top_k": 0}, "there")


def test_own_shapes_refuse_fields_that_they_do_not_know(document: Json) -> None:
    """Others' shapes take them, and so does a reply, to which fields may be added."""
    refusing = {name for name, schema in document["components"]["schemas"].items() if schema.get("type") == "object"
                and schema.get("additionalProperties") is False}  # fmt: skip
    bodies = {name for name in document["components"]["schemas"] if name.endswith(("Body", "Line", "RagOptions"))}
    assert refusing == bodies - {"EmbeddingsBody", "RerankBody", "ChatBody", "ChatMessageBody"}


def test_the_limits_are_those_that_are_set(app: FastAPI, tmp_path: Path) -> None:
    limits: Json = {"query_characters": 11, "embedding_inputs": 12, "conversation_messages": 13}
    schemas = describe(app, Settings(data_dir=tmp_path, limits=limits))["components"]["schemas"]
    assert schemas["SearchBody"]["properties"]["query"]["maxLength"] == 11
    assert schemas["EmbeddingsBody"]["properties"]["input"]["anyOf"][1]["maxItems"] == 12
    assert schemas["QueryBody"]["properties"]["messages"]["maxItems"] == 13


def test_headers_of_errors_are_declared_where_they_occur(document: Json) -> None:
    replies = document["paths"]["/v1/query"]["post"]["responses"]
    assert {"Retry-After", "retry-after-ms"} <= set(replies["503"]["headers"])
    assert "x-should-retry" in replies["504"]["headers"]
    assert set(replies["404"]["headers"]) == {"X-Request-ID", "Server-Timing"}


def test_the_events_of_a_stream_hold_what_their_schemas_say(api: httpx.Client, document: Json) -> None:
    api.put("/v1/collections/docs/documents/memo", json={"text": "The audit is on Friday."})
    asked = {"query": "When is the audit?", "collection": "docs", "stream": True}
    stream = document["paths"]["/v1/query"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    schemas = {one["properties"]["event"]["const"]: one for one in stream["schema"]["anyOf"]}
    events = events_of(api.post("/v1/query", json=asked).text) + events_of(stream["examples"]["the end"]["value"])
    assert {event["event"] for event in events} >= {"retrieval", "token", "done"}
    for event in events:
        valid(document, stream["schema"], event, event["event"])
        data = json.loads(event["data"])
        schema = schemas[event["event"]]["properties"]["data"]["contentSchema"]
        valid(document, schema, data, event["event"])
        assert set(data) == set(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"])


def test_the_chunks_of_a_chat_hold_what_their_schemas_say(api: httpx.Client, document: Json) -> None:
    api.put("/v1/collections/docs/documents/memo", json={"text": "The audit is on Friday."})
    asked = {"model": "docs", "messages": [{"role": "user", "content": "When is the audit?"}], "stream": True}
    frames = events_of(api.post("/v1/chat/completions", json=asked | {"stream_options": {"include_usage": True}}).text)
    stream = document["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    assert frames.pop() == {"data": "[DONE]"}
    known = document["components"]["schemas"]
    for frame in frames:
        valid(document, stream["schema"], frame, "a frame")
        chunk = json.loads(frame["data"])
        valid(document, known["ChatChunk"], chunk, "a chunk")
        assert set(chunk) <= set(known["ChatChunk"]["properties"])
        for choice in chunk["choices"]:
            assert set(choice["delta"]) <= set(known["ChatDelta"]["properties"])
    told = [set(json.loads(frame["data"]).get("rag", ())) for frame in frames]
    assert [names for names in told if names] == [set(known[n]["properties"]) for n in ("FoundInChat", "EndedInChat")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_head_is_answered_as_get_is(api: httpx.Client, path: str) -> None:
    assert api.head(path).status_code == api.get(path).status_code == 200


def test_an_unknown_query_parameter_is_refused_and_named(api: httpx.Client) -> None:
    refused = api.get("/v1/collections?limit=3&limt=4")
    assert refused.status_code == 422
    assert refused.json()["error"]["param"] == "limit"
    assert "limit: there is no such query parameter; got '3'" in refused.json()["detail"]
    assert "limt" in refused.json()["detail"]
    listed = api.put("/v1/collections/docs", json={}) and api.get("/v1/collections/docs/documents?limit=3&cursor=")
    assert listed.status_code == 200
    assert api.post("/v1/embeddings?api-version=1", json={"input": "x"}).status_code == 200


def test_allow_lists_the_methods_of_every_route_of_a_path(api: httpx.Client) -> None:
    assert api.patch("/v1/collections/docs").headers["allow"] == "GET, PUT, DELETE"
    assert api.patch("/healthz").headers["allow"] == "GET, HEAD"


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


def test_the_page_is_current(document: Json) -> None:
    assert PAGE.read_text() == markdown(document), "make api-page writes it anew"


def test_the_page_is_served_and_loads_nothing(api: httpx.Client, document: Json) -> None:
    reply = api.get("/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    for path, method, operation in operations(document):
        assert f"<h3>{method.upper()} {path}</h3>" in reply.text
        assert operation["summary"].split("`")[0] in html.unescape(reply.text)
    assert not re.search(r"<(script|link|img|iframe)|src=|@import|url\(", reply.text)
    path = "POST /v1<wbr>/collections<wbr>/{collection}<wbr>/documents<wbr>:delete"
    assert f"<code>{path}</code>" in reply.text, "a line ends between its parts"


def test_the_document_is_served(api: httpx.Client, document: Json) -> None:
    reply = api.get("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == document
