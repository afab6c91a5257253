"""What an answer says of itself."""

from collections.abc import Sequence

import pytest

from service.answer import Answer
from service.generation.base import Finished
from service.generation.prompt import NO_ANSWER

REFUSED = Finished("stop", abstained=True)


@pytest.mark.parametrize(
    ("text", "finished", "degraded", "status", "said"),
    [
        ("Yes.", Finished("stop"), [], "ok", "Yes."),
        ("Yes.", Finished("stop"), ["chunks"], "partial", "Yes."),
        ("", REFUSED, [], "no_answer", NO_ANSWER),
        ("", REFUSED, ["rewrite"], "partial", NO_ANSWER),
        ("", REFUSED, ["llm"], "partial", ""),
        ("", REFUSED, ["llm", "extractive"], "partial", ""),
    ],
)
def test_a_lost_rung_makes_it_partial_and_only_a_generator_says_there_is_none(
    text: str, finished: Finished, degraded: Sequence[str], status: str, said: str
) -> None:
    answer = Answer.of(text, [], finished, degraded)
    assert (answer.status, answer.text) == (status, said)
    assert (answer.no_answer_reason is None) == (status != "no_answer")
