"""Parameters of paths, by name: what they may be is checked by the rooms below, which no signature of a route says."""

from typing import Any

from indexes.names import COLLECTION_PATTERN, MAX_ID_BYTES

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "collection": {
        "description": "Name of a collection, or an alias of one.",
        "schema": {"type": "string", "pattern": f"^{COLLECTION_PATTERN}$"},
        "example": "docs",
    },
    "model": {
        "description": "Id of a model, as the list of them has it.",
        "schema": {"type": "string", "minLength": 1},
        "example": "docs",
    },
    "name": {
        "description": "Name of an alias.",
        "schema": {"type": "string", "pattern": f"^{COLLECTION_PATTERN}$"},
        "example": "current",
    },
    "llm": {
        "description": "Name of a language model, as the settings have it.",
        "schema": {"type": "string", "pattern": "^[^/:]+$"},
        "example": "main",
    },
    "key_id": {
        "description": "Id of a key: its text has it between the points.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "example": "9f86d081884c7d65",
    },
    "id": {
        "description": f"Id of a document: 1 to {MAX_ID_BYTES} bytes of UTF-8 without control characters, not `.` or "
        "`..`, percent-encoded as one path segment; `%2F` is part of it, and so is a `/` that is not encoded.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID_BYTES,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
            "not": {"enum": [".", ".."]},
        },
        "example": "handbook/memo-1",
    },
}


def complete(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter with what the table has of it; one that says itself what it is, has its own words."""
    if parameter["in"] == "path" and "description" not in parameter:
        return parameter | PATH_PARAMETERS.get(parameter["name"], {})
    schema = _sent(parameter["schema"])
    shown = schema.pop("examples", [])
    return parameter | {"schema": schema} | ({"example": shown[0]} if shown else {})


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the null of a type of Python: a URL cannot have it, but for leaving the parameter out."""
    sent: list[dict[str, Any]] = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(sent) != 1:
        return dict(schema)
    return {key: value for key, value in schema.items() if key != "anyOf"} | sent[0]
