"""What is said of answers, by hand."""

import numpy as np
import pytest

from service.cli.eval.abstention import CurvePoint, abstention_curve
from service.cli.eval.answer_metrics import SHARE_METRICS, answer_samples, confidences
from service.cli.eval.asked import Answered, Citation, Kind, Question
from service.cli.eval.containment import contains, normalized
from service.cli.eval.dataset import Query


def answered(
    number: int,
    kind: Kind,
    text: str,
    *citations: Citation,
    answers: tuple[str, ...] = (),
    confidence: float | None = 0.5,
) -> Answered:
    question = Question(kind, Query(str(number), "Which?", answers))
    return Answered(question, bool(text), text, citations, confidence, 0.1, ())


ANSWERS = [
    answered(
        1,
        "answerable",
        "In 1702. By Alma.",
        Citation("In 1702.", True, 1.2),
        Citation("By Alma.", True, 1.4),
        answers=("1702",),
    ),
    answered(2, "answerable", "At noon.", Citation("At noon.", True), answers=("noon", "twelve"), confidence=0.9),
    answered(3, "answerable", "", answers=("four",), confidence=0.2),
    answered(4, "answerable", "No gold.", Citation("No gold.", False)),
    answered(5, "unanswerable", "Perhaps.", Citation("Perhaps.", True), answers=("perhaps",), confidence=0.6),
    answered(6, "unanswerable", "", confidence=None),
    answered(7, "foreign", "", confidence=0.1),
]


def test_every_share_is_what_it_says() -> None:
    found = {each.name: each for each in answer_samples(ANSWERS)}
    assert tuple(found) == SHARE_METRICS
    assert {name: each.whole for name, each in found.items()} == {
        "gold_in_answer": pytest.approx(2 / 3),  # one was not answered
        "gold_in_best": pytest.approx(1 / 3),  # and one has it in the span of a lower score
        "citation_precision": pytest.approx(2 / 3),
        "citations_valid": pytest.approx(4 / 5),
        "answered": pytest.approx(3 / 4),
        "abstained": pytest.approx(1 / 2),
        "abstained_foreign": 1.0,
    }
    assert found["citation_precision"].ids == ("1", "2", "3")


def test_the_confidence_of_what_found_nothing_is_the_least() -> None:
    assert confidences(ANSWERS, "answerable").tolist() == [0.5, 0.9, 0.2, 0.5]
    assert confidences(ANSWERS, "unanswerable").tolist() == [0.6, -1.0]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Beatles, live!", "beatles live"),
        ("A 19th-century mill\nand an oven", "19thcentury mill and oven"),
        ("Theatre of the anthem", "theatre of anthem"),
        ("the", ""),
    ],
)
def test_texts_are_normalized_as_squad_does(text: str, plain: str) -> None:
    assert normalized(text) == plain


def test_an_answer_is_contained_whatever_stands_around_it() -> None:
    assert contains("It costs four crowns.", ["Five", "the Four Crowns"])
    assert not contains("It costs crowns, four.", ["four crowns"])
    assert not contains("Anything at all.", ["the", "!", ""])
    assert not contains("", ["four"])


def test_a_threshold_answers_what_reaches_it_and_leaves_the_rest() -> None:
    curve = abstention_curve(np.array([0.30, 0.32]), np.array([0.31]), np.array([]))
    assert curve == [
        CurvePoint(0.30, 1.0, 0.0, None),
        CurvePoint(0.31, 0.5, 0.0, None),
        CurvePoint(0.32, 0.5, 1.0, None),
        CurvePoint(0.33, 0.0, 1.0, None),
    ]
    assert abstention_curve(np.array([]), np.array([]), np.array([])) == []
