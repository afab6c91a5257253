"""The generator without a language model."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit, Vectors
from models.base import TextKind
from models.hashing import HashingEmbedder
from service.budget import Deadline
from service.errors import DeadlineExceededError
from service.generation.base import Cited, Delta, Event, Finished, GenerationRequest, LlmCall, Passage
from service.generation.extractive import ExtractiveGenerator, sentences_of

QUESTION = "When do the honey bees sleep?"
BEFORE = "x" * 7
BEES = "Nobody knows everything about insects. The honey bees sleep in the winter! Their hive is warm and dry then."


def passage(number: int, text: str, start: int = 0) -> Passage:
    return Passage(number, Hit(Chunk(f"doc-{number}", 0, text, start, start + len(text)), "", None, 1.0))


def generate(
    passages: Sequence[Passage], question: str = QUESTION, milliseconds: int = 60_000, min_score: float = 0.25
) -> list[Event]:
    embedder = HashingEmbedder()
    vector = embedder.embed(embedder.tokenize([question], TextKind.QUERY))[0]

    async def embed(texts: Sequence[str]) -> Vectors:
        await asyncio.sleep(0)
        return embedder.embed(embedder.tokenize(texts, TextKind.DOCUMENT))

    request = GenerationRequest(question, vector, passages, 64, None, LlmCall(Deadline.after(milliseconds)), embed)

    async def scenario() -> list[Event]:
        generator = ExtractiveGenerator(min_score)
        events = [event async for event in generator.generate(request)]
        await generator.close()
        return events

    return asyncio.run(scenario())


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def cited(events: Sequence[Event]) -> list[Cited]:
    return [event for event in events if isinstance(event, Cited)]


def test_it_quotes_the_sentence_that_answers_and_cites_exactly_it() -> None:
    events = generate([passage(1, BEES, start=len(BEFORE))])
    assert text_of(events) == "The honey bees sleep in the winter! [1]"
    (citation,) = cited(events)
    assert (BEFORE + BEES)[citation.document_start : citation.document_end] == "The honey bees sleep in the winter!"
    assert text_of(events)[citation.answer_start : citation.answer_end] == "[1]"
    assert events[-1] == Finished("stop")


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


def test_list_items_and_table_rows_stand_alone_without_their_markup() -> None:
    text = "Some words stand here first:\n\n- **Honey bees sleep** in the hive\n- Wasps sleep\n| bees | sleep | at | night |"  # noqa: E501
    sentences = sentences_of(passage(1, text))
    assert [sentence.text for sentence in sentences] == [
        "Some words stand here first:",
        "Honey bees sleep** in the hive",
        "| bees | sleep | at | night |",
    ]
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in sentences)


def test_the_same_sentence_is_quoted_once() -> None:
    events = generate([passage(1, "The honey bees sleep at night."), passage(2, "The honey bees sleep at night.")])
    assert [each.number for each in cited(events)] == [1]


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
    assert generate(passages) == [Finished("stop", abstained=True)]


def test_the_threshold_is_on_the_best_sentence() -> None:
    assert text_of(generate([passage(1, BEES)], min_score=0.5))
    assert generate([passage(1, BEES)], min_score=0.99) == [Finished("stop", abstained=True)]


def test_a_late_embedding_is_a_deadline() -> None:
    with pytest.raises(DeadlineExceededError) as raised:
        generate([passage(1, BEES)], milliseconds=0)
    assert raised.value.stage == "llm"


TEXT = st.lists(
    st.sampled_from(["The bees sleep in winter. ", "Dr. Smith (e.g. him) said so!\n", "\r\n\r\n", "  ", "Ist es so? ",
                     "日本語。", "🎉 party time is now here. ", "A\u2028B c d e. ", "\t1. an item of five words\n",
                     "\u00a0"])
).map("".join)  # fmt: skip


@given(st.one_of(TEXT, st.text(max_size=200)), st.integers(0, 50))
def test_sentences_are_slices_of_the_document(text: str, start: int) -> None:
    document = "x" * start + text
    for sentence in sentences_of(passage(1, text, start)):
        assert document[sentence.start : sentence.end] == sentence.text
        assert sentence.text.strip() == sentence.text
        assert len(sentence.words()) >= 1


def test_the_question_vector_decides_too() -> None:
    """Equal shared words: the cosine tells the sentences apart."""
    short, long = "The honey bees sleep soundly.", "The honey bees sleep " + "and some others do not " * 8 + "at all."
    events = generate([passage(1, f"{long} {short}")])
    assert short in text_of(events)
    assert np.isfinite(cited(events)[0].answer_start)
