"""What speaks for each sentence."""

import math

import pytest

from indexes.analysis import Analyzer
from indexes.base import Chunk, Hit
from service.generation.base import Passage, Sentence
from service.generation.confidence import confidence_in
from service.generation.evidence import Evidence, evidence_for
from service.generation.quotes import chosen

CHINESE = ["没有人知道昆虫的一切。", "蜜蜂在冬天睡觉。", "它们的蜂巢又暖又干。"]


def sentences(*texts: str, cosine: float | None = None, scores: dict[str, float] | None = None) -> list[Sentence]:
    """Of one document, each a space behind the one before."""
    whole = " ".join(texts)
    hit = Hit(Chunk("doc", 0, whole, 0, len(whole)), "", None, 0.9, scores or {"vector": 0.4})
    starts = [whole.index(text) for text in texts]
    return [
        Sentence(Passage(1, hit), start, start + len(text), cosine) for start, text in zip(starts, texts, strict=True)
    ]


def weighed(query: str, *texts: str, language: str = "en") -> list[Evidence]:
    return evidence_for(query, sentences(*texts), Analyzer(language))


def test_words_weigh_by_their_rarity_among_the_sentences() -> None:
    rare, common, none = weighed("the queen bee", "A queen sleeps there.", "A bee sleeps there.", "A bee is awake.")
    weights = {word: math.log(1 + (3 - having + 0.5) / (having + 0.5)) for word, having in
               {"the": 0, "queen": 1, "bee": 2}.items()}  # fmt: skip
    assert rare.words == pytest.approx(weights["queen"] / sum(weights.values()))
    assert common.words == none.words == pytest.approx(weights["bee"] / sum(weights.values()))
    assert rare.words > common.words


def test_endings_do_not_matter_where_the_language_is_known() -> None:
    asked = ("Do queens sleep?", "The queen was sleeping.")
    assert weighed(*asked)[0].words > 0
    assert weighed(*asked, language="unicode")[0].words == 0


def test_pairs_are_neighbours_in_the_order_of_the_question() -> None:
    right, wrong = weighed("honey bee queen", "The honey bee has a queen.", "A bee likes honey too.")
    assert (right.pairs, wrong.pairs) == (0.5, 0.0)


def test_the_sentence_before_lends_its_words_to_the_joint_share_alone() -> None:
    first, second = weighed("Who feeds the queen?", "The queen is large.", "Workers feed her daily.")
    assert second.joint == pytest.approx(first.words + second.words)  # none of these words is in both
    assert first.joint == first.words


def test_another_documents_sentence_lends_nothing() -> None:
    (one,), (other,) = sentences("The queen is large."), sentences("Workers feed her daily.")
    chunk = Chunk("another", 0, other.text, 0, len(other.text))
    strange = Sentence(Passage(2, Hit(chunk, "", None, 1.0, {"vector": 0.4})), 0, len(other.text))
    _, lonely = evidence_for("Who feeds the queen?", [one, strange], Analyzer("en"))
    assert lonely.joint == lonely.words


def test_the_best_characters_win_where_no_space_is_written() -> None:
    found = weighed("蜜蜂什么时候睡觉", *CHINESE, language="unicode")
    assert max(found, key=lambda one: one.without_vector).sentence.text == CHINESE[1]


def test_a_passage_counts_by_its_cosine_whatever_hits_are_ordered_by() -> None:
    for scores, expected in (({"vector": 0.4}, 0.4), ({"vector": 0.4, "lexical": 7.0}, 0.4), ({"vector": -0.4}, 0.0)):
        (one,) = evidence_for("Why?", sentences("It is so, they say.", scores=scores), Analyzer("en"))
        assert one.passage == expected


def test_a_question_without_words_finds_nothing_wrong() -> None:
    (one,) = weighed("?!", "The queen is large.")
    assert (one.words, one.pairs, one.joint) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("cosine", "joint", "expected"), [(1.0, 1.0, 1.0), (0.4, 0.2, 1 / 3), (-0.5, 0.0, 0.0)])
def test_confidence_is_the_weighted_mean_of_cosine_and_joint_share(
    cosine: float, joint: float, expected: float
) -> None:
    (sentence,) = sentences("It is so, they say.", cosine=cosine)
    assert confidence_in(Evidence(sentence, (), 0.0, 0.0, joint, 1.0)) == pytest.approx(expected)


def ranked(*scored: tuple[str, float]) -> list[Evidence]:
    """Sentences of one document, with what each scores."""
    found = sentences(*(text for text, _ in scored), cosine=0.0)
    both = zip(found, scored, strict=True)
    evidence = [Evidence(one, tuple(text.split()), 0.0, 0.0, 0.0, 2 * score) for one, (text, score) in both]
    return sorted(evidence, key=lambda one: -one.score)


def quoted(*scored: tuple[str, float]) -> list[str]:
    return [one.sentence.text for one in chosen(ranked(*scored))]


def test_those_near_the_best_are_quoted_in_the_order_of_the_document() -> None:
    assert quoted(("one a", 0.8), ("two b", 0.29), ("three c", 1.0), ("four d", 0.31)) == ["one a", "three c", "four d"]


def test_the_best_alone_where_no_other_is_near() -> None:
    assert quoted(("one a", 1.0), ("two b", 0.29)) == ["one a"]
    assert chosen([]) == []


def test_what_goes_on_where_the_best_ends_comes_before_what_is_hardly_better() -> None:
    plain = ("one a", 0.5), ("two b", 1.0), ("three c", 0.45), ("four d", 0.54), ("five e", 0.5)
    assert quoted(*plain) == ["two b", "three c", "four d"]  # and the fourth goes on where the third ends
    nearer = ("one a", 0.6), ("two b", 1.0), ("three c", 0.45), ("four d", 0.57), ("five e", 0.5)
    assert quoted(*nearer) == ["one a", "two b", "four d"]  # two that are more than that better
    assert quoted(("one a", 1.0), ("two b", 0.25)) == ["one a"]  # the limit is of its own score


def test_a_repetition_leaves_its_place_to_the_next() -> None:
    first, second, third = ranked(("one a", 1.0), ("two b", 0.9), ("three c", 0.8))
    again = Evidence(second.sentence, first.said, 0.0, 0.0, 0.0, second.passage)
    assert chosen([first, again, third]) == [first, third]


def test_documents_stand_as_their_best_passage_is_ranked() -> None:
    chunks = [
        Chunk("b", 0, "One of them.", 50, 62),
        Chunk("a", 0, "Two of them.", 0, 12),
        Chunk("b", 1, "Three of us.", 0, 12),
    ]
    found = []
    for number, chunk in enumerate(chunks, start=1):
        sentence = Sentence(Passage(number, Hit(chunk, "", None, 1.0)), chunk.start, chunk.end, 0.5)
        found.append(Evidence(sentence, (chunk.text,), 0.0, 0.0, 0.0, 0.0))
    assert [one.sentence.text for one in chosen(found)] == ["Three of us.", "One of them.", "Two of them."]


@pytest.mark.parametrize(("start", "number"), [(0, 1), (5, 1), (7, 2), (11, 2), (12, 2)])
def test_half_of_another_is_a_repetition_and_a_common_quotation_mark_is_none(start: int, number: int) -> None:
    text = "'One of us.' 'Two of us.'"
    hit = Hit(Chunk("doc", 0, text, 0, len(text)), "", None, 1.0)
    places = [(0, 12), (start, start + 12)]
    found = [
        Evidence(Sentence(Passage(1, hit), *place, 0.5), (str(place),) * count, 0.0, 0.0, 0.0, 0.0)
        for count, place in enumerate(places)
    ]
    assert len(chosen(found)) == number
