"""The stream of an answer: the schema is that of one event, whose data is the JSON it holds."""

from typing import Any

from service.api.media_type import JSON

_DATA = {
    "retrieval": ("RetrievalEvent", "once, first: what was found"),
    "token": ("TokenEvent", "more of the answer, as it comes"),
    "citation": ("CitationEvent", "a marker in the text that was sent"),
    "done": ("DoneEvent", "last, of an answer that was made"),
    "error": ("ErrorEvent", "last, of one that was not: a problem, and never text"),
}

_EXAMPLE = """event: token
data: {"text":"The audit is on Friday."}

event: done
data: {"status":"ok","no_answer_reason":null,"answer":"The audit is on Friday.","finish_reason":"stop","usage":{},\
"llm_timings_ms":{},"timings_ms":{"total":13.4},"degraded":[]}

"""


def _event(name: str, model: str, said: str) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": {"$ref": f"#/components/schemas/{model}"},
    }
    return {
        "type": "object",
        "description": f"{name}: {said}.",
        "properties": {"event": {"const": name}, "data": data},
        "required": ["event", "data"],
        "additionalProperties": False,
    }


ANSWER_STREAM: dict[str, Any] = {
    "description": "The answer: one JSON object, or with `stream` its events as they come.",
    "headers": {
        "Cache-Control": {"description": "`no-store`, of a stream.", "schema": {"type": "string"}},
        "X-Accel-Buffering": {"description": "`no`, of a stream.", "schema": {"type": "string"}},
    },
    "content": {
        "text/event-stream": {
            "schema": {
                "description": "One of the events: the name of its kind, and JSON as its data. They come in the order "
                "that is given here. A comment line is sent whenever nothing else was for ten seconds.",
                "oneOf": [_event(name, *rest) for name, rest in _DATA.items()],
            },
            "examples": {"the end": {"value": _EXAMPLE}},
        }
    },
}
