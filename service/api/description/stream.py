"""The streams of an answer: a schema is that of one event, whose data is the JSON it holds."""

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
data: {"status":"ok","no_answer_reason":null,"confidence":0.62,"answer":"The audit is on Friday.",\
"finish_reason":"stop","usage":{},"llm_timings_ms":{},"timings_ms":{"total":13.4},"degraded":[]}

"""

_CHAT_EXAMPLE = """data: {"id":"chatcmpl-5f0c","object":"chat.completion.chunk","created":1790000000,"model":"docs",\
"choices":[{"index":0,"delta":{"content":"The audit is on Friday. [1]"},"logprobs":null,"finish_reason":null}]}

data: [DONE]

"""


def _json(model: str) -> dict[str, Any]:
    return {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": {"$ref": f"#/components/schemas/{model}"},
    }


def _event(name: str, model: str, said: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"{name}: {said}.",
        "properties": {"event": {"const": name}, "data": _json(model)},
        "required": ["event", "data"],
        "additionalProperties": False,
    }


def _frame(data: dict[str, Any]) -> dict[str, Any]:
    # An event without a name is called `message`, and so do some readers of it.
    properties = {"event": {"const": "message"}, "data": data}
    return {"type": "object", "properties": properties, "required": ["data"], "additionalProperties": False}


def _stream(said: str, kinds: list[dict[str, Any]], example: str) -> dict[str, Any]:
    schema = {
        "description": f"{said} A comment line is sent whenever nothing else was for ten seconds.",
        "anyOf": kinds,
    }
    return {
        "description": "The answer: one JSON object, or with `stream` its events as they come.",
        "headers": {
            "Cache-Control": {"description": "`no-store`, of a stream.", "schema": {"type": "string"}},
            "X-Accel-Buffering": {"description": "`no`, of a stream.", "schema": {"type": "string"}},
        },
        "content": {"text/event-stream": {"schema": schema, "examples": {"the end": {"value": example}}}},
    }


ANSWER_STREAM = _stream(
    "One of the events: the name of its kind, and JSON as its data. They come in the order that is given here.",
    [_event(name, *rest) for name, rest in _DATA.items()],
    _EXAMPLE,
)

CHAT_STREAM = _stream(
    "A chunk of the completion: role and what was found, text, annotations, the end, usage where it is asked for. Then "
    "`[DONE]`, or of an answer that was not made its error.",
    [_frame(_json("ChatChunk")), _frame(_json("ChatFailure")), _frame({"const": "[DONE]"})],
    _CHAT_EXAMPLE,
)
