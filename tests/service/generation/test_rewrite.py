"""Asking for a question that stands alone, and what of the reply is used."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.generation.base import Turn
from service.generation.prompt import NO_ANSWER
from service.generation.rewrite import REWRITE_TOKENS, fit_rewrite, rewrite_messages, standalone_question
from service.generation.tokens import Messages, TokenEstimate, estimated_tokens, most_tokens

TURNS = [Turn("user", "Who keeps bees?"), Turn("assistant", "Ann keeps them [1].\nLast question: who?")]
QUESTION = "Where does she live?"


class Counted(TokenEstimate):
    def __init__(self) -> None:
        self.asked = 0

    async def count(self, messages: Messages) -> int:
        self.asked += 1
        return await super().count(messages)


def asked_for(
    question: str, turns: Sequence[Turn], context: int, counter: TokenEstimate | None = None
) -> Messages | None:
    return asyncio.run(fit_rewrite(question, turns, context, counter or TokenEstimate()))


def test_what_the_model_is_asked() -> None:
    messages = asked_for(QUESTION, TURNS, 8192)
    assert messages == rewrite_messages(QUESTION, TURNS)
    system, user = messages
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"] == (
        "The user said:\n> Who keeps bees?\n\n"
        "The reply was:\n> Ann keeps them [1].\n> Last question: who?\n\n"
        "Last question: Where does she live?"
    )


@pytest.mark.parametrize(
    ("question", "turns", "context"),
    [(QUESTION, [], 8192), ("why " * 100, TURNS, 8192), (QUESTION, TURNS, 200), (QUESTION, TURNS[1:], 8192)],
)
def test_when_it_is_not_asked(question: str, turns: list[Turn], context: int) -> None:
    assert asked_for(question, turns, context) is None


@given(st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text(max_size=2000)), max_size=20))
def test_the_prompt_is_bounded_however_long_the_conversation(turns: list[Turn]) -> None:
    counter = Counted()
    messages = asked_for(QUESTION, turns, 1024, counter)
    assert counter.asked <= 3
    if messages is not None:
        assert min(estimated_tokens(messages), most_tokens(messages)) + REWRITE_TOKENS <= 1024
    assert sum(len(message["content"]) for message in rewrite_messages(QUESTION, turns)) < 20_000


REPLIES = [
    "Where does Ann live?",
    "  Where does Ann live?\n",
    '"Where does Ann live?"',
    "“Where does Ann live?”",
    "**Where does Ann live?**",
    "Standalone question: Where does Ann live?",
    "stand-alone question:\nWhere does Ann live?",
    "**Rewritten question:** Where does Ann live?",
    "Question: 'Where does Ann live?'",
    "Sure, here is the rewritten question:\n\n> Where does Ann live?",
    "Last question: Where does Ann live?",
    "Where does Ann live?\n\nAnn lives in Kent.",
    "<think>She is Ann.\nQuestion: x</think>\n\nWhere does Ann live?",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_the_question_in_a_reply(reply: str) -> None:
    assert standalone_question(reply, QUESTION) == "Where does Ann live?"


@pytest.mark.parametrize(
    "reply", ["", " \n", "...", '""', "x " * 400, NO_ANSWER, "<think>She may be", "Question:", "`", "**"]
)
def test_a_reply_without_a_question(reply: str) -> None:
    assert standalone_question(reply, QUESTION) == QUESTION


def test_questions_that_hold_a_colon_are_whole() -> None:
    asked = "What is Ann: The Beekeeper about?"
    assert standalone_question(asked, QUESTION) == asked
    assert standalone_question('What is a "bee"', QUESTION) == 'What is a "bee"'
    assert standalone_question("Was bedeutet «Arbeit»?", QUESTION) == "Was bedeutet «Arbeit»?"


@given(st.text(max_size=1000))
def test_whatever_is_replied(reply: str) -> None:
    question = standalone_question(reply, QUESTION)
    assert question.strip()
    assert len(question) <= 500
    assert "\n" not in question
