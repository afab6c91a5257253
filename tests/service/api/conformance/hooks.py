"""What Schemathesis cannot know of this API: two formats of bodies, and rules that no schema can say."""

import json
import re
from typing import Any

import schemathesis
from schemathesis.transport.requests import REQUESTS_TRANSPORT

NDJSON = "application/x-ndjson"
_LONGEST_WAIT_MS = 600_000
_REJECTED = "RejectedPositiveData"

# A request that its schema allows may break one of these, and no other. Each names what it is about, as problems do.
_RULES = re.compile(
    r"""
    is\ one\ node\ too\ many                      # filters: in all, however they are nested
    | levels\ deep
    | scope\ admin\ takes\ no\ filter          # of a key: one field by another
    | the\ last\ of\ messages\ is\ the\ question  # the role of a list's last item
    | messages\ hold\ no\ question
    | message\ is\ blank|query\ is\ blank        # characters that nobody sees
    | messages\ have\ \d+\ characters             # the sum over a list
    | files\ of\ type\ .*\ are\ not\ read         # the name of a file in a form
    | is\ not\ (UTF-8\ )?text
    | metadata\ is\ not\ JSON                     # JSON in a field of a form
    | metadata:\ Input\ should\ be\ an\ object
    | bytes\ as\ JSON
    | 64-bit
    | bytes;\ the\ limit\ is\ 1\ to\ 512          # bytes, where schemas count characters
    | is\ not\ served\ here                       # the models and generators of this server
    | is\ not\ configured
    | must\ be\ smaller\ than\ size               # one number by another
    | reads\ \d+\ tokens
    | takes\ no\ embedding_model
    | dimensions\ is
    | document\ .*\ has\ no\ text                 # the content of a file
    | the\ body\ is\ larger\ than\ the\ limit     # all of it
    """,
    re.VERBOSE,
)


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure counts."""
    if type(failure).__name__ != _REJECTED:
        return True
    return not _RULES.search(response.json()["detail"])


@REQUESTS_TRANSPORT.serializer(NDJSON)
def lines_of(ctx: Any, value: Any) -> dict[str, Any]:
    """A request's body; what is no list of lines is one line that is wrong."""
    if isinstance(value, str | bytes):
        return {"data": value.encode() if isinstance(value, str) else value}
    items = value if isinstance(value, list) else [value]
    return {"data": b"".join(json.dumps(item).encode() + b"\n" for item in items)}


@schemathesis.deserializer(NDJSON)
def items_of(ctx: Any, response: Any) -> list[Any]:
    """A reply's lines."""
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Nobody waits for long, neither for a job nor for this test."""
    wait = str((query or {}).get("wait_ms", ""))
    if wait.isascii() and wait.isdigit() and int(wait) <= _LONGEST_WAIT_MS:
        return {**query, "wait_ms": int(wait) % 50}
    return query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Every other body that names a collection names the one that is there."""
    if isinstance(body, dict) and isinstance(body.get("collection"), str) and len(body["collection"]) % 2 == 0:
        return {**body, "collection": "docs"}
    return body
