"""What a short context leaves of passages and conversation: it fits, it is the most that does, and few are counted."""

import asyncio
import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit
from quotable import NotNeeded
from service.budget import Deadline
from service.errors import QuestionTooLongError
from service.generation.base import GenerationRequest, LlmCall, Passage, Turn
from service.generation.conversation import Exchange, exchanges
from service.generation.fitting import Fitted, fit
from service.generation.prompt import SYSTEM, block, build_messages, prompt_messages
from service.generation.tokens import Messages, TokenCounter, TokenEstimate, estimated_tokens, most_tokens

DOCUMENT_START = 70


class Words:
    """Counts words, and how often it was asked; gives up after ``answers`` counts."""

    def __init__(self, answers: float = math.inf) -> None:
        self.asked: list[Messages] = []
        self._answers = answers

    async def count(self, messages: Messages) -> int | None:
        self.asked.append(messages)
        return words(messages) if len(self.asked) <= self._answers else None


def prompt(passages: Sequence[Passage] = (), earlier: Sequence[Exchange] = (), question: str = "Why?") -> Messages:
    return prompt_messages(question, [block(each) for each in passages], earlier)


def words(messages: Messages) -> int:
    return sum(3 + len(message["content"].split()) for message in messages)


def passage(number: int, text: str) -> Passage:
    chunk = Chunk("doc", number, text, DOCUMENT_START, DOCUMENT_START + len(text), ("Part",))
    return Passage(number, Hit(chunk, "Title", None, 1.0))


def request(
    passages: Sequence[Passage], turns: Sequence[Turn] = (), question: str = "Why?", max_tokens: int = 100
) -> GenerationRequest:
    call = LlmCall(Deadline.after(60_000))
    return GenerationRequest(question, passages, max_tokens, None, call, NotNeeded(), turns)


def fitted(asked: GenerationRequest, context: int, counter: TokenCounter | None = None) -> Fitted:
    return asyncio.run(fit(asked, context, counter or Words()))


def log2(choices: int) -> int:
    return math.ceil(math.log2(choices)) if choices else 0


SENTENCES = st.lists(
    st.sampled_from(["One two three.", "Four five.", "six", "seven eight", "\n\n", "Nine!"]), min_size=1
)
TEXTS = SENTENCES.map(" ".join).filter(str.strip)
LONG = st.builds(lambda text, times: text * times, TEXTS, st.integers(1, 25))
CONVERSATIONS = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), TEXTS), max_size=10)
BARE = words(prompt())
CONTEXTS = st.integers(BARE + 15, 700)


@given(st.lists(LONG, min_size=1, max_size=12), CONVERSATIONS, CONTEXTS, st.integers(0, 400))
def test_it_fits_is_the_most_that_does_and_is_counted_seldom(
    texts: list[str], turns: list[Turn], room: int, max_tokens: int
) -> None:
    asked = request([passage(n, text) for n, text in enumerate(texts, start=1)], turns, max_tokens=max_tokens)
    context = room + min(max_tokens, room)  # the answer never asks for more than half
    counter = Words()
    result = fitted(asked, context, counter)

    assert result.max_tokens == max_tokens or result.max_tokens == context // 2
    assert words(result.messages) + result.max_tokens <= context
    kept, all_said = len(result.passages), exchanges(turns)
    assert result.left_out == len(texts) - kept
    assert [each.number for each in result.passages] == list(range(1, kept + 1))
    earlier = (len(result.messages) - 2) // 2
    newest = all_said[len(all_said) - earlier :]
    assert result.messages == prompt(result.passages, newest)
    assert_conversation(earlier, turns, context - result.max_tokens)
    is_cut = result.passages[-1] != asked.passages[kept - 1]
    if not is_cut and kept < len(texts):
        longer = prompt(asked.passages[: kept + 1], newest)
        assert words(longer) + result.max_tokens > context
    if is_cut:
        assert (kept, earlier) == (1, 0)
        assert_cut(result, asked.passages[0], context)
    longest = len(texts[0])
    assert len(counter.asked) <= 4 + log2(len(all_said) + 1) + 2 * log2(len(texts)) + log2(longest)


def assert_conversation(kept: int, turns: Sequence[Turn], room: int) -> None:
    """All of the newest exchanges that take a quarter of the room, or none where not even one passage fits beside."""
    said = exchanges(turns)
    costs = [words(prompt([], said[len(said) - n :])) - BARE for n in range(len(said) + 1)]
    assert kept == 0 or costs[kept] <= room // 4
    if 0 < kept < len(said):
        assert costs[kept + 1] > room // 4


def assert_cut(result: Fitted, whole: Passage, context: int) -> None:
    chunk, original = result.passages[0].hit.chunk, whole.hit.chunk
    assert original.text.startswith(chunk.text)
    assert chunk.text
    assert chunk.text == chunk.text.rstrip()
    assert (chunk.start, chunk.end) == (DOCUMENT_START, DOCUMENT_START + len(chunk.text))
    gap, next_word = re.fullmatch(r"(\s*)(\S*).*", original.text[len(chunk.text) :], re.DOTALL).groups()
    # A sentence's end may be well before what would fit, and a paragraph's is one too.
    if not (chunk.text.endswith((".", "!")) or "\n" in gap):
        longer = [passage(1, chunk.text + gap + next_word)]
        assert gap
        assert words(prompt(longer)) + result.max_tokens > context


def test_what_fits_by_its_bytes_is_not_counted() -> None:
    turns = [Turn("user", "What?"), Turn("assistant", "That.")]
    asked = request([passage(n, "word " * 90) for n in range(1, 9)], turns)
    counter = Words()
    result = fitted(asked, 8192, counter)
    assert counter.asked == []
    assert result.messages == build_messages("Why?", asked.passages, turns)
    assert (result.left_out, result.max_tokens) == (0, 100)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("one two three. four five six. " + "seven " * 50, "one two three. four five six."),
        ("one. " + "two " * 50, "one. two two two two two two two"),
    ],
)
def test_a_sentence_is_not_cut_unless_it_is_most_of_what_fits(text: str, kept: str) -> None:
    room = words(prompt([passage(1, "")])) + 8  # words
    assert fitted(request([passage(1, text)]), room + 100).passages[0].hit.chunk.text == kept


def test_text_without_blanks_is_cut_where_it_must() -> None:
    text = "漢字" * 2000
    result = fitted(request([passage(1, text)]), 512, TokenEstimate())
    chunk = result.passages[0].hit.chunk
    assert text.startswith(chunk.text)
    assert 100 < len(chunk.text) < 512
    assert chunk.end == DOCUMENT_START + len(chunk.text)


@pytest.mark.parametrize("passages", [0, 1, 3])
def test_a_question_that_leaves_no_room(passages: int) -> None:
    asked = request([passage(n, "word " * 9) for n in range(1, passages + 1)], question="why " * 600)
    with pytest.raises(QuestionTooLongError, match=r"2400 characters leaves no room .* reads 412 tokens"):
        fitted(asked, 512)


def test_the_conversation_goes_before_the_best_passage_is_cut() -> None:
    turns = [Turn("user", "before " * 40), Turn("assistant", "reply")]
    text = "word " * 230
    result = fitted(request([passage(1, text), passage(2, text)], turns), BARE + 240 + 100)
    assert len(result.messages) == 2
    assert result.passages == [passage(1, text)]


@pytest.mark.parametrize("answers", range(6))
def test_a_counter_that_gives_up_is_not_asked_again(answers: int) -> None:
    turns = [Turn("user", "before " * 80), Turn("assistant", "reply " * 80)] * 4
    counter = Words(answers)
    result = fitted(request([passage(n, "word " * 90) for n in range(1, 9)], turns), 1024, counter)
    assert len(counter.asked) == answers + 1
    assert result.passages
    if answers == 0:
        assert estimated_tokens(result.messages) + result.max_tokens <= 1024


def test_an_answer_may_take_half_of_the_context() -> None:
    assert fitted(request([passage(1, "word")], max_tokens=4000), 1024).max_tokens == 512


@given(st.text(max_size=200))
def test_the_bounds_of_a_text(text: str) -> None:
    messages = [{"role": "user", "content": text}]
    assert most_tokens(messages) >= len(text.encode()) + 16
    assert estimated_tokens(messages) <= most_tokens(messages)


def test_the_smallest_context_holds_the_instructions() -> None:
    assert estimated_tokens(prompt(question="Why does it rain in Spain?")) < 512 // 2
    assert len(SYSTEM) < 800
