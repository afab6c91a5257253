"""Lists of questions out of files."""

import re
from pathlib import Path

import pytest

from service.cli.calibrate.questions import LEAST_QUESTIONS, Lists, Questions, TooFewQuestionsError
from service.cli.eval.asked import Kind, Question
from service.cli.eval.dataset import Query
from service.cli.eval.record import DatasetError

MARKED = """\
{"_id": "yes", "text": " Which mill? ", "answerable": true}
{"_id": "no", "text": "Which comet?", "answerable": false, "answers": []}
{"_id": "perhaps", "text": "Which ferry?"}
"""


def lists(answerable: list[Path], unanswerable: list[Path] | None = None, foreign: list[Path] | None = None) -> Lists:
    return Lists(answerable, unanswerable or [], foreign or [])


def told(questions: Questions) -> list[tuple[Kind, str]]:
    return [(each.kind, each.query.text) for each in questions.asked]


def test_a_text_has_a_question_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_bytes("\ufeffWhich mill?\r\n\n  Où est le bac ?\n".encode())
    questions = lists([file]).questions()
    assert told(questions) == [("answerable", "Which mill?"), ("answerable", "Où est le bac ?")]
    assert [each.query.id for each in questions.asked] == [f"{file}:1", f"{file}:3"]


@pytest.mark.parametrize("name", ["queries.jsonl", "QUERIES.NDJSON"])
def test_marks_in_jsonl_are_heeded(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(MARKED)
    assert told(lists([file]).questions()) == [("answerable", "Which mill?"), ("answerable", "Which ferry?")]
    assert told(lists([], [file]).questions()) == [("unanswerable", "Which comet?"), ("unanswerable", "Which ferry?")]
    assert [text for _, text in told(lists([], [], [file]).questions())] == [
        "Which mill?",
        "Which comet?",
        "Which ferry?",
    ]
    assert lists([file]).questions().asked[0].query.id == f"{file}: yes"


def test_a_folder_as_of_eval(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text(MARKED.replace("perhaps", "never").replace("Which ferry?", "Which inn?"))
    questions = lists([tmp_path]).questions()
    assert told(questions) == [("answerable", "Which mill?"), ("answerable", "Which inn?")]


def test_no_question_is_asked_twice_and_none_for_both(tmp_path: Path) -> None:
    yes, no, foreign = (tmp_path / name for name in ("yes", "no", "foreign"))
    yes.write_text("Which mill?\nWhich mill?\nWhich ferry?\n")
    no.write_text("Which comet?\nWhich ferry?\nWhich star?\n")
    foreign.write_text("Which comet?\n")
    questions = lists([yes], [no], [foreign]).questions()
    assert told(questions) == [
        ("answerable", "Which mill?"), ("unanswerable", "Which comet?"), ("unanswerable", "Which star?"),
    ]  # fmt: skip
    assert (questions.repeated, questions.contradictory) == (2, ["Which ferry?"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "none.txt: No such file"),
        ("none.jsonl", None, "none.jsonl: No such file"),
        ("empty.txt", b"\n \n", "empty.txt: has no answerable questions"),
        ("no.jsonl", b'{"_id": "a", "text": "b", "answerable": false}', "no.jsonl: has no answerable questions"),
        ("latin.txt", b"Which mill?\nWhich caf\xe9?\n", "latin.txt:2: is not UTF-8"),
        ("lines.txt", b'{"_id": "a", "text": "b"}\n', "lines.txt:1: is JSON and no question"),
        ("bad.jsonl", b'{"_id": "a"}\n', "bad.jsonl:1: text is missing"),
        ("blank.jsonl", b'{"_id": "a", "text": " "}\n', "blank.jsonl:1: text is empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(said)):
        lists([tmp_path / name]).questions()


def asked(answerable: int, foreign: int, contradictory: int = 0) -> Questions:
    kinds: list[Kind] = ["answerable"] * answerable + ["foreign"] * foreign
    questions = [Question(kind, Query(str(number), f"Which {number}?")) for number, kind in enumerate(kinds)]
    return Questions(questions, 0, [f"Which {number}?" for number in range(contradictory)])


def test_there_must_be_enough() -> None:
    asked(LEAST_QUESTIONS, LEAST_QUESTIONS).require_enough()
    asked(LEAST_QUESTIONS, 0).require_enough()
    with pytest.raises(
        TooFewQuestionsError, match=r"^19 answerable questions are too few to choose by: give 20 at least"
    ):
        asked(LEAST_QUESTIONS - 1, LEAST_QUESTIONS).require_enough()
    with pytest.raises(TooFewQuestionsError, match=r"^19 questions that should be left open are too few"):
        asked(LEAST_QUESTIONS, LEAST_QUESTIONS - 1).require_enough()
    with pytest.raises(
        TooFewQuestionsError, match=r"^0 questions that should be left open.* and 7 are in lists of both"
    ):
        asked(LEAST_QUESTIONS, 0, contradictory=7).require_enough()
