"""Replies that are no answer, by status and by what they say."""

import orjson
import pytest

from service.errors import (
    LlmBadResponseError,
    LlmConfigurationError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmUnavailableError,
    PromptTooLongError,
)
from service.generation.refusal import failure_in_stream, refusal

TOO_LONG = [
    (
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens, "
        "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.",
        2048,
    ),
    (
        "This model's maximum context length is 2048 tokens. However, your prompt contains 99999 characters (more than "
        "65536 characters, which is the upper bound for 2048 input tokens).",
        2048,
    ),
    ("Input length (5000) exceeds model's maximum context length (4096).", 4096),
    ("max_tokens=9000 cannot be greater than max_model_len=2048. Please request fewer output tokens.", 2048),
    ("The prompt is longer than the maximum context length.", None),
    ("max_tokens must be at least 1, got 0.", None),
]


@pytest.mark.parametrize(("message", "context"), TOO_LONG)
def test_a_prompt_that_is_too_long(message: str, context: int | None) -> None:
    body = orjson.dumps({"error": {"message": message, "type": "BadRequestError", "code": 400}})
    error = refusal(400, body, {})
    assert isinstance(error, PromptTooLongError)
    assert error.context == context
    # The words mean this in a 400 only.
    assert not isinstance(refusal(500, body, {}), PromptTooLongError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, LlmBadResponseError),
        (400, LlmRefusedError),
        (401, LlmConfigurationError),
        (403, LlmConfigurationError),
        (404, LlmConfigurationError),
        (422, LlmRefusedError),
        (429, LlmUnavailableError),
        (500, LlmUnavailableError),
        (502, LlmUnavailableError),
        (503, LlmOverloadedError),
        (599, LlmUnavailableError),
    ],
)
def test_by_status(status: int, kind: type[Exception]) -> None:
    error = refusal(status, b'{"message": "words"}', {})
    assert type(error) is kind
    assert str(error).startswith(f"the language model replied {status}: words")


@pytest.mark.parametrize(
    ("header", "seconds"), [({}, 1.0), ({"retry-after": "7"}, 7.0), ({"retry-after": "9999"}, 60.0)]
)
def test_when_to_come_again(header: dict[str, str], seconds: float) -> None:
    error = refusal(503, b"", header | {"date": "x"})
    assert isinstance(error, LlmOverloadedError)
    assert error.retry_after_s == seconds


def test_a_date_is_not_read() -> None:
    error = refusal(503, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert isinstance(error, LlmOverloadedError)
    assert error.retry_after_s == 1.0


def test_only_so_much_is_said() -> None:
    assert len(str(refusal(500, b"x" * 100_000, {}))) < 300


@pytest.mark.parametrize(
    ("said", "refused"),
    [({"message": "bad grammar", "code": 400}, True), ({"message": "died", "code": 500}, False), ("died", False)],
)
def test_in_mid_stream_a_code_says_whose_fault_it_is(said: object, refused: bool) -> None:
    assert isinstance(failure_in_stream({"error": said}), LlmRefusedError) is refused
