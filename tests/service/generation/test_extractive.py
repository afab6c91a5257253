"""The generator without a language model."""

import asyncio
from collections.abc import Sequence

import pytest

from indexes.base import Chunk, Hit
from quotable import Quotable
from service.budget import Deadline
from service.errors import DeadlineExceededError
from service.generation.base import Cited, Delta, Event, Finished, GenerationRequest, LlmCall, Passage
from service.generation.extractive import ExtractiveGenerator

QUESTION = "When do the honey bees sleep?"
BEFORE = "x" * 7
BEES = "Nobody knows everything about insects. The honey bees sleep in the winter! Their hive is warm and dry then."


def passage(number: int, text: str, start: int = 0, document: str = "") -> Passage:
    chunk = Chunk(document or f"doc-{number}", 0, text, start, start + len(text))
    return Passage(number, Hit(chunk, "", None, 1.0, {"vector": 0.5}))


def generate(
    passages: Sequence[Passage],
    sentences: Quotable | None = None,
    milliseconds: int = 60_000,
    min_confidence: float = 0.25,
) -> list[Event]:
    call = LlmCall(Deadline.after(milliseconds))
    asked = GenerationRequest(
        QUESTION, passages, 64, None, call, sentences or Quotable(QUESTION), min_confidence=min_confidence
    )

    async def scenario() -> list[Event]:
        generator = ExtractiveGenerator()
        events = [event async for event in generator.generate(asked)]
        await generator.close()
        return events

    return asyncio.run(scenario())


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def cited(events: Sequence[Event]) -> list[Cited]:
    return [event for event in events if isinstance(event, Cited)]


def finished(events: Sequence[Event]) -> Finished:
    (last,) = [event for event in events if isinstance(event, Finished)]
    assert events[-1] is last
    return last


def test_it_quotes_the_sentence_that_answers_and_cites_exactly_it() -> None:
    events = generate([passage(1, BEES, start=len(BEFORE))])
    first = "The honey bees sleep in the winter! [1]"
    assert text_of(events).startswith(first)
    citation = cited(events)[0]
    assert (BEFORE + BEES)[citation.document_start : citation.document_end] == "The honey bees sleep in the winter!"
    assert text_of(events)[citation.answer_start : citation.answer_end] == "[1]"
    confidence = finished(events).confidence
    assert finished(events) == Finished("stop", confidence=confidence)
    assert 0.5 < (confidence or 0) <= 1


def test_several_sentences_keep_their_order_and_their_offsets() -> None:
    passages = [
        passage(1, "The honey bees sleep at night."),
        passage(2, "The honey bees sleep in winter.", 50),
    ]
    events = generate(passages)
    text = text_of(events)
    assert text == "The honey bees sleep at night. [1] The honey bees sleep in winter. [2]"
    assert [text[each.answer_start : each.answer_end] for each in cited(events)] == ["[1]", "[2]"]
    assert cited(events)[1].document_start == 50


def test_no_more_than_three_sentences() -> None:
    passages = [passage(number, f"The honey bees sleep here in place {number}.") for number in range(1, 5)]
    assert [each.number for each in cited(generate(passages))] == [1, 2, 3]


def test_passages_that_overlap_give_a_sentence_once() -> None:
    whole = "The honey bees sleep at night."
    text = f"{whole} The wasps are awake by then."
    again = passage(2, text[len(whole) - len("sleep at night.") :], len(whole) - len("sleep at night."), "doc-1")
    events = generate([passage(1, text), again, passage(3, whole)])
    quoted = [(each.number, each.document_start, each.document_end) for each in cited(events)]
    assert quoted[0] == (1, 0, len(whole))
    assert len(quoted) == len({start for _, start, _ in quoted}) <= 2


@pytest.mark.parametrize(
    "passages",
    [
        [],
        [passage(1, "Too short.")],
        [passage(1, "# The honey bees sleep in a heading")],
        [passage(1, "|---|---|---|---|")],
        [passage(1, "Accounting rules were amended by parliament.")],
    ],
)
def test_it_abstains(passages: list[Passage]) -> None:
    (only,) = generate(passages)
    assert isinstance(only, Finished)
    assert only.abstained
    assert only.confidence is not None
    assert only.confidence < 0.25


def test_the_threshold_is_on_the_confidence_which_is_told_either_way() -> None:
    told = finished(generate([passage(1, BEES)])).confidence
    assert told is not None
    assert text_of(generate([passage(1, BEES)], min_confidence=told))
    refused = generate([passage(1, BEES)], min_confidence=told + 0.001)
    assert refused == [Finished("stop", abstained=True, confidence=told)]


def test_what_was_searched_for_counts_and_not_what_was_typed_last() -> None:
    passages = [passage(1, "The wasps sleep in summer here. The queen has eaten royal jelly.")]
    assert text_of(generate(passages, Quotable("What has the queen eaten?"))).startswith("The queen has eaten")


def test_sentences_without_vectors_are_compared_now_and_only_the_hopeful() -> None:
    others = " ".join(f"Some wasp number {number} is awake." for number in range(40))
    bare = Quotable(QUESTION, is_stored=False)
    events = generate([passage(1, f"{others} The honey bees sleep in the winter!")], bare)
    assert text_of(events).startswith("The honey bees sleep in the winter!")
    assert "The honey bees sleep in the winter!" in bare.compared_texts
    assert len(bare.compared_texts) == 12


def test_nothing_is_embedded_where_vectors_are_stored() -> None:
    stored = Quotable(QUESTION)
    assert text_of(generate([passage(1, BEES)], stored))
    assert stored.compared_texts == []


def test_a_late_embedding_is_a_deadline() -> None:
    with pytest.raises(DeadlineExceededError) as raised:
        generate([passage(1, BEES)], milliseconds=0)
    assert raised.value.stage == "llm"
