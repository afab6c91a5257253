"""Schemas that no type of Python says: the grammar of filters, the values of metadata, the headers of replies."""

from typing import Any

from indexes.filters import MAX_DEPTH, MAX_KEY_CHARACTERS, MAX_NODES, MAX_VALUE_CHARACTERS, MAX_VALUES

_STRING = {"type": "string", "maxLength": MAX_VALUE_CHARACTERS}
_KEY = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS}
_SCALAR = {"anyOf": [_STRING, {"type": "number"}, {"type": "boolean"}]}
_ORDERED = {"anyOf": [_STRING, {"type": "number"}]}
_SCALARS = {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": MAX_VALUES}


def _comparison(types: list[str], value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"enum": types}, "key": _KEY, "value": value},
        "required": ["type", "key", "value"],
        "additionalProperties": False,
    }


FILTER: dict[str, Any] = {
    "description": "What a document's metadata must pass. `eq`, `ne`, `gt`, `gte`, `lt`, `lte` compare with a value, "
    f"`in` and `nin` with a list, `and` and `or` join filters: at most {MAX_NODES} of them, {MAX_DEPTH} levels deep.",
    "oneOf": [
        _comparison(["eq", "ne"], _SCALAR),
        _comparison(["gt", "gte", "lt", "lte"], _ORDERED),
        _comparison(["in", "nin"], _SCALARS),
        {
            "type": "object",
            "properties": {
                "type": {"enum": ["and", "or"]},
                "filters": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Filter"},
                    "minItems": 1,
                    "maxItems": MAX_NODES - 1,
                },
            },
            "required": ["type", "filters"],
            "additionalProperties": False,
        },
    ],
    "examples": [{"type": "eq", "key": "tenant", "value": "acme"}],
}

_METADATA_VALUE: dict[str, Any] = {
    "description": "A value of JSON; integers have 64 bits.",
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
        {"type": "number", "not": {"type": "integer"}},
        {"type": "array", "items": {"$ref": "#/components/schemas/MetadataValue"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/MetadataValue"}},
    ],
}

SCHEMAS: dict[str, Any] = {"Filter": FILTER, "MetadataValue": _METADATA_VALUE}

HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The id of the request: the one that was sent, if it is a UUID, with dashes or without, "
        "or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f-]{32,36}$"},
    },
    "Server-Timing": {
        "description": "Milliseconds of the stages as of when the reply began.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which it is worth asking again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "retry-after-ms": {
        "description": "The same in milliseconds, as OpenAI's clients read it.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to show a key.",
        "required": True,
        "schema": {"type": "string"},
    },
    "x-should-retry": {
        "description": "`false`: OpenAI's clients do not ask again.",
        "required": True,
        "schema": {"type": "string", "const": "false"},
    },
}

SECURITY: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `quarry keys create`; `x-api-key` takes it too. A server without keys asks for none.",
    }
}
