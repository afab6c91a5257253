"""The generator for OpenAI's protocol, against a scripted server on a real socket."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from indexes.base import Chunk, Hit
from quotable import NotNeeded
from service.budget import Deadline
from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.generation.base import Cited, Delta, Event, Finished, GenerationRequest, LlmCall, Passage
from service.generation.openai import OpenAIGenerator
from service.generation.prompt import NO_ANSWER, SYSTEM
from service.llm_settings import LlmSettings

LanguageModel = Callable[..., str]

DONE = b"data: [DONE]\n\n"
STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "x": {}}}\n\n'
ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'
NOBODY = "http://127.0.0.1:9"
PATIENCE_S = 200.0


def said(*texts: str) -> list[bytes]:
    chunks = ({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts)
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]


def request(milliseconds: int = 60_000, passages: int = 3, temperature: float | None = None) -> GenerationRequest:
    hits = [Hit(Chunk(f"doc-{n}", 0, f"Passage {n}.", 0, 10), f"Title {n}", None, 0.9) for n in range(1, passages + 1)]
    numbered = [Passage(number, hit) for number, hit in enumerate(hits, start=1)]
    call = LlmCall(Deadline.after(milliseconds))
    return GenerationRequest("Why?", numbered, 64, temperature, call, NotNeeded())


async def collected(url: str, asked: GenerationRequest, **settings: Any) -> tuple[list[Event], dict[str, object]]:  # noqa: ANN401
    """Events up to the end, and what the generator says of itself afterwards."""
    generator = OpenAIGenerator(LlmSettings(url=url, model="tiny", **settings), [url])
    try:
        return [_untimed(event) async for event in generator.generate(asked)], generator.describe()
    finally:
        await generator.close()


def _untimed(event: Event) -> Event:
    return replace(event, prompt_s=0.0) if isinstance(event, Finished) else event


def generate(url: str, asked: GenerationRequest | None = None, **settings: Any) -> list[Event]:  # noqa: ANN401
    return asyncio.run(collected(url, asked or request(), **settings))[0]


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def failure(url: str, milliseconds: int = 60_000) -> tuple[GenerationError, list[Event], object]:
    """The error, the events before it, and the state that the status page shows."""
    seen: list[Event] = []

    async def scenario() -> tuple[GenerationError, object]:
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        with pytest.raises(GenerationError) as raised:
            async for event in generator.generate(request(milliseconds)):
                seen.append(event)
        await generator.close()
        return raised.value, generator.describe()["state"]

    error, state = asyncio.run(scenario())
    return error, seen, state


def test_a_stream_with_markers_split_over_chunks(language_model: LanguageModel) -> None:
    url = language_model([ROLE, *said("Keys rotate ", "[", "1", ", 3", "]", " daily [", "9].", ""), STOP, USAGE, DONE])
    events, described = asyncio.run(collected(url, request()))
    assert text_of(events) == "Keys rotate [1][3] daily."
    assert [event for event in events if isinstance(event, Cited)] == [Cited(1, 0, 10, 12, 15), Cited(3, 0, 10, 15, 18)]
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert events[-1] == Finished("stop", abstained=False, usage=usage, invalid_markers=1)
    assert {"kind": "openai", "url": url, "model": "tiny", "state": "ready"}.items() <= described.items()


def test_text_comes_before_the_end(language_model: LanguageModel) -> None:
    url = language_model(said("First words", " and"), end="stall")

    async def scenario() -> object:
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        events = generator.generate(request())
        first = await anext(events)
        await events.aclose()
        await generator.close()
        return first

    assert asyncio.run(scenario()) == Delta("First words")


def test_what_the_model_is_sent(language_model: LanguageModel, llm_requests: list[dict[str, Any]]) -> None:
    url = language_model([*said("Yes."), STOP, DONE])
    generate(url, request(passages=2, temperature=0.5), key="sk-test")
    generate(url, request(passages=1))
    sent, plain = llm_requests
    assert sent["model"] == "tiny"
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}
    assert (sent["max_tokens"], sent["temperature"], sent["authorization"]) == (64, 0.5, "Bearer sk-test")
    assert "temperature" not in plain
    assert plain["authorization"] is None
    system, user = sent["messages"]
    assert system["content"] == SYSTEM
    assert "[2] Title 2\n> Passage 2.\n" in user["content"]
    assert user["content"].endswith("Question: Why?")


def test_passages_that_do_not_fit_are_left_out_and_cannot_be_cited(
    language_model: LanguageModel, llm_requests: list[dict[str, Any]]
) -> None:
    events = generate(language_model([*said("See [1] and [30]."), STOP, DONE]), request(passages=40), context=512)
    assert "[1] Title 1\n" in llm_requests[0]["messages"][1]["content"]
    assert "[30] Title 30\n" not in llm_requests[0]["messages"][1]["content"]
    assert text_of(events) == "See [1] and."
    assert isinstance(events[-1], Finished)
    assert events[-1].invalid_markers == 1
    assert 10 < events[-1].left_out < 40


@pytest.mark.parametrize(("answer", "abstained"), [(NO_ANSWER, True), (f" {NO_ANSWER}\n", True), ("No.", False)])
def test_abstaining(language_model: LanguageModel, answer: str, abstained: bool) -> None:
    *before, finished = generate(language_model([*said(*answer), STOP, DONE]))
    assert isinstance(finished, Finished)
    assert finished.abstained == abstained
    assert text_of(before) == ("" if abstained else answer)


@pytest.mark.parametrize("blank", [[], ["", " \n"]])
def test_an_answer_without_a_word_is_a_failure(language_model: LanguageModel, blank: list[str]) -> None:
    error, _, state = failure(language_model([*said(*blank), STOP, DONE]))
    assert isinstance(error, LlmBadResponseError)
    assert state == str(error) == "the language model wrote nothing"


def test_an_answer_that_was_given_too_few_tokens_is_no_fault_of_the_server(language_model: LanguageModel) -> None:
    cut = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\n'
    error, _, state = failure(language_model([*said(" "), cut, DONE]))
    assert (str(error), state) == ("the language model wrote nothing within 64 tokens", "ready")


def test_unicode_line_breaks_belong_to_the_text(language_model: LanguageModel) -> None:
    text = "One\u2028two\u0085three\x0bfour."
    assert text_of(generate(language_model([*said(text), STOP, DONE]))) == text


def test_an_answer_may_take_half_of_the_context(
    language_model: LanguageModel, llm_requests: list[dict[str, Any]]
) -> None:
    generate(language_model([*said("Yes."), STOP, DONE]), replace(request(), max_tokens=4000), context=1024)
    assert llm_requests[0]["max_tokens"] == 512


def test_an_answer_cut_short_says_so(language_model: LanguageModel) -> None:
    stop = STOP.replace(b"stop", b"length")
    assert generate(language_model([*said("Yes"), stop, DONE]))[-1] == Finished("length")


def test_pieces_need_not_be_lines(language_model: LanguageModel) -> None:
    stream = b": comment\n\nevent: x\n" + b"".join([*said("Gr", "üße [1]"), STOP, DONE])
    url = language_model([stream[at : at + 5] for at in range(0, len(stream), 5)])
    assert text_of(generate(url)) == "Grüße [1]"


def test_a_unix_socket(language_model: LanguageModel) -> None:
    url = language_model([*said("Over a socket."), STOP, DONE], socket=True)
    assert url.startswith("unix:///")
    assert text_of(generate(url)) == "Over a socket."


def test_nobody_listens() -> None:
    error, seen, state = failure(NOBODY)
    assert isinstance(error, LlmUnavailableError)
    assert "cannot be reached" in str(error)
    assert seen == []
    assert state == str(error)


def test_no_socket_there() -> None:
    assert isinstance(failure("unix:///nonexistent/llm.sock")[0], LlmUnavailableError)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"error": {"message": "context too long", "code": 400}}', LlmRefusedError, "400: context too long"),
        (401, b'{"error": "no key"}', LlmConfigurationError, "401: no key"),
        (404, b"<html>", LlmConfigurationError, "404: <html>"),
        (429, b"{}", LlmUnavailableError, "429"),
        (500, b'{"message": "oops"}', LlmUnavailableError, "500: oops"),
        (503, b"[1]", LlmOverloadedError, "503: [1]"),
        (502, b"\xff\xfe", LlmUnavailableError, "502"),
    ],
)
def test_refusals(
    language_model: LanguageModel, status: int, body: bytes, kind: type[GenerationError], message: str
) -> None:
    error, seen, state = failure(language_model([body], status))
    assert type(error) is kind
    assert f"the language model replied {message}" in str(error)
    assert seen == []
    assert state == error.outline
    assert state == str(error).replace(f": {error.said}", "")


BAD_STREAMS = [
    ("not JSON", [b"data: <html>\n\n", DONE], "not JSON"),
    ("not an object", [b"data: [1]\n\n", DONE], "not an object"),
    ("no delta", [b'data: {"choices": [{}]}\n\n', DONE], "no delta"),
    ("delta null", [b'data: {"choices": [{"delta": null}]}\n\n', DONE], "no delta"),
    ("choices a number", [b'data: {"choices": 5}\n\n', DONE], "no delta"),
    ("content a number", [b'data: {"choices": [{"delta": {"content": 5}}]}\n\n', DONE], "delta"),
    ("content parts", [b'data: {"choices": [{"delta": {"content": [{"text": "x"}]}}]}\n\n', DONE], "delta"),
    ("finish a number", [b'data: {"choices": [{"delta": {}, "finish_reason": 1}]}\n\n', DONE], "delta"),
    ("error then DONE", [b'data: {"error": {"message": "engine died"}}\n\n', DONE], "in mid-stream: engine died"),
    ("error a string", [b'data: {"error": "engine died"}\n\n', DONE], "in mid-stream: engine died"),
    ("nothing", [], "broke off"),
    ("no DONE", [STOP], "broke off"),
]


@pytest.mark.parametrize(("stream", "message"), [row[1:] for row in BAD_STREAMS], ids=[row[0] for row in BAD_STREAMS])
@pytest.mark.parametrize("before", [[], ["Some", " words."]], ids=["at once", "after words"])
def test_bad_streams(language_model: LanguageModel, before: list[str], stream: list[bytes], message: str) -> None:
    error, seen, state = failure(language_model([*said(*before), *stream]))
    assert isinstance(error, LlmBadResponseError)
    assert message in str(error)
    assert text_of(seen) == "".join(before)
    assert not any(isinstance(event, Finished) for event in seen)
    assert state == error.outline


def test_usage_that_is_no_usage_is_left_out(language_model: LanguageModel) -> None:
    stream = [*said("Yes."), STOP, b'data: {"choices": [], "usage": "none"}\n\n', DONE]
    assert generate(language_model(stream))[-1] == Finished("stop")


def test_a_connection_that_is_torn(language_model: LanguageModel) -> None:
    error, seen, _ = failure(language_model(said("Some words."), end="cut"))
    assert isinstance(error, LlmUnavailableError)
    assert text_of(seen) == "Some words."


def test_a_model_that_says_nothing(language_model: LanguageModel) -> None:
    error, seen, state = failure(language_model([], end="stall"), milliseconds=150)
    assert isinstance(error, LlmTimeoutError)
    assert seen == []
    assert state == str(error)


@pytest.mark.parametrize("end", ["stall", "trickle"])
def test_a_model_that_never_ends(language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """It falls silent after some words, or keeps the line alive for ever: the deadline holds for the whole answer."""
    url = language_model(said("Some words."), end=end)

    async def scenario() -> None:
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        events = generator.generate(request())
        assert await anext(events) == Delta("Some words.")
        monkeypatch.setattr(Deadline, "remaining", lambda _: 0.0)
        with pytest.raises(LlmTimeoutError, match=r"no complete answer within 60\.0 s"):
            await anext(events)
        await generator.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_the_time_is_up_before_it_began(language_model: LanguageModel) -> None:
    error, seen, _ = failure(language_model([*said("Late."), STOP, DONE]), milliseconds=0)
    assert isinstance(error, LlmTimeoutError)
    assert seen == []


def test_the_clock_never_interrupts_whoever_reads(language_model: LanguageModel) -> None:
    """A reader that is busy when the deadline passes hears of it at the next event, not in the midst of its work."""
    url = language_model(said("First", " second"), end="stall")

    async def scenario() -> None:
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        asked, passed, loop = request(1500), asyncio.Event(), asyncio.get_running_loop()
        events = generator.generate(asked)
        assert await anext(events) == Delta("First")
        loop.call_at(asked.call.deadline.at + 0.01, passed.set)
        await passed.wait()
        with pytest.raises(LlmTimeoutError):
            while True:
                await anext(events)
        await generator.close()

    asyncio.run(scenario())


def test_a_failure_is_forgotten_after_a_success(language_model: LanguageModel) -> None:
    url = language_model([*said("Yes."), STOP, DONE])

    async def scenario() -> tuple[object, object]:
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        with pytest.raises(LlmTimeoutError):
            _ = [event async for event in generator.generate(request(0))]
        failed = generator.describe()["state"]
        _ = [event async for event in generator.generate(request())]
        await generator.close()
        return failed, generator.describe()["state"]

    failed, recovered = asyncio.run(scenario())
    assert failed != "ready"
    assert recovered == "ready"
