"""Which hits an answer may rest on."""

from indexes.base import Chunk, Hit
from service.duplicates import Duplicate
from service.passages import chosen
from service.settings import AnswerSettings

POLICY = AnswerSettings(min_score=0.3, passages=3)


def hit(document: str, text: str, cosine: float, score: float) -> Hit:
    return Hit(Chunk(document, 0, text, 0, len(text)), "", None, score, {"vector": cosine, "lexical": 9.0})


def test_a_language_model_is_given_all_where_one_is_near_by_its_cosine_whatever_their_score() -> None:
    hits = [hit("a", "one", 0.29, 9.0), hit("b", "two", 0.3, 8.0), hit("c", "three", 0.1, 0.1)]
    passages = chosen(hits, POLICY, wants_llm=True).passages
    assert [(each.number, each.hit.chunk.document_id) for each in passages] == [(1, "a"), (2, "b"), (3, "c")]
    assert chosen([hits[0], hits[2]], POLICY, wants_llm=True).passages == ()


def test_quotes_are_judged_by_themselves() -> None:
    assert len(chosen([hit("a", "one", 0.1, 9.0)], POLICY, wants_llm=False).passages) == 1


def test_no_two_say_the_same_and_the_next_ones_take_their_place() -> None:
    texts = {"a": "one", "b": "One!", "c": "two", "d": "one", "e": "three", "f": "four"}
    choice = chosen([hit(name, text, 0.9, 1.0) for name, text in texts.items()], POLICY, wants_llm=True)
    assert [each.hit.chunk.document_id for each in choice.passages] == ["a", "c", "e"]
    assert choice.duplicates == [Duplicate("b#0", "a#0"), Duplicate("d#0", "a#0")]
