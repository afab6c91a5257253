"""Questions out of files: those that a collection should answer, and those that it should leave open."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.cli.eval.asked import Kind, Question
from service.cli.eval.dataset import Query, queries_in, read_queries
from service.cli.eval.errors import EvalError
from service.cli.eval.record import DatasetError

# Fewer say nothing: at 19 of 20 the interval is .76 to .99.
LEAST_QUESTIONS = 20

_JSONL = {".jsonl", ".ndjson"}
# A line that is marked otherwise than the list it stands in is of no use there; foreign ones are marked for others.
_BELONGS: dict[Kind, Callable[[Query], bool]] = {
    "answerable": lambda query: query.answerable is not False,
    "unanswerable": lambda query: query.answerable is not True,
    "foreign": lambda _: True,
}


class TooFewQuestionsError(EvalError):
    """No threshold can be chosen by so few."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, no text twice.

    Attributes:
        repeated: texts that were left out because they are there already.
        contradictory: texts that should be answered and left open; they are not asked.
    """

    asked: Sequence[Question]
    repeated: int
    contradictory: Sequence[str]

    def require_enough(self) -> None:
        """See that they can choose a threshold.

        Raises:
            TooFewQuestionsError: they are not.
        """
        answerable = sum(each.kind == "answerable" for each in self.asked)
        counts = {
            "answerable questions": answerable,
            "questions that should be left open": len(self.asked) - answerable,
        }
        if not counts["questions that should be left open"] and not self.contradictory:
            del counts["questions that should be left open"]  # nobody gave any
        for what, count in counts.items():
            if count < LEAST_QUESTIONS:
                both = f", and {len(self.contradictory)} are in lists of both kinds" if self.contradictory else ""
                raise TooFewQuestionsError(
                    f"{count} {what} are too few to choose by: give {LEAST_QUESTIONS} at least, better hundreds{both}"
                )


@dataclass(frozen=True, slots=True)
class Lists:
    """Files of questions by kind, as the command line names them.

    A file has a question on each line, or if it is called so JSONL as BEIR has it; a folder has ``queries.jsonl``.
    """

    answerable: Sequence[Path]
    unanswerable: Sequence[Path]
    foreign: Sequence[Path]

    def questions(self) -> Questions:
        """Read them; the id of each is its place.

        Raises:
            DatasetError: naming file, line and field.
        """
        found: dict[str, Question] = {}
        repeated = 0
        contradictory: dict[str, None] = {}
        for question in self._all():
            first = found.setdefault(question.query.text, question)
            if (first.kind == "answerable") != (question.kind == "answerable"):
                contradictory[question.query.text] = None
            else:
                repeated += first is not question
        asked = [question for text, question in found.items() if text not in contradictory]
        return Questions(asked, repeated, list(contradictory))

    def _all(self) -> Iterator[Question]:
        by_kind: dict[Kind, Sequence[Path]] = {
            "answerable": self.answerable,
            "unanswerable": self.unanswerable,
            "foreign": self.foreign,
        }
        for kind, paths in by_kind.items():
            for path in paths:
                queries = [query for query in _read(path) if _BELONGS[kind](query)]
                if not queries:
                    raise DatasetError(f"{path}: has no {kind} questions")
                yield from (Question(kind, replace(query, text=query.text.strip())) for query in queries)


def _read(path: Path) -> Sequence[Query]:
    if path.suffix.lower() not in _JSONL and not path.is_dir():
        return list(_lines(path))
    queries = read_queries(path) if path.is_dir() else queries_in(path)
    return [replace(query, id=f"{path}: {query.id}") for query in queries]


def _lines(path: Path) -> Iterator[Query]:
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        place = f"{path}:{number}"
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            raise DatasetError(f"{place}: is not UTF-8") from None
        if text.startswith(("{", "[")):
            raise DatasetError(f"{place}: is JSON and no question; JSONL is read from a file called .jsonl")
        if text:
            yield Query(place, text)
