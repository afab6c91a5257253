"""What answers come to: whether they hold what was asked for, cite it, and are given when they should be."""

from collections.abc import Callable, Sequence

import numpy as np

from service.cli.eval.asked import Answered, Citation, Kind
from service.cli.eval.containment import contains
from service.cli.eval.samples import Floats, Samples

SHARE_METRICS = (
    "gold_in_answer", "gold_in_best", "citation_precision", "citations_valid", "answered", "abstained",
    "abstained_foreign",
)  # fmt: skip
AUROC_METRICS = ("auroc", "auroc_foreign")


def answer_samples(answered: Sequence[Answered]) -> list[Samples]:
    """Every share that the questions allow to be taken.

    ``gold_in_answer`` and ``gold_in_best`` count questions with accepted answers that the documents hold: the whole
    answer, and the cited span of the highest score, has one of them; without scores the first span stands for the best.
    A question that was not answered has none.
    ``citation_precision`` is the share of the cited spans of such questions that hold an accepted answer, and
    ``citations_valid`` the share of all cited spans that the document has where it is said to.
    """
    golden = [each for each in _of(answered, "answerable") if each.question.query.answers]
    cited = [each for each in answered if each.citations]
    return [
        _share("gold_in_answer", golden, lambda each: _holds(each, each.text)),
        _share("gold_in_best", golden, lambda each: any(_holds(each, span.quote) for span in _best(each))),
        _of_spans("citation_precision", golden, lambda each: [_holds(each, span.quote) for span in each.citations]),
        _of_spans("citations_valid", cited, lambda each: [span.is_valid for span in each.citations]),
        _share("answered", _of(answered, "answerable"), lambda each: each.is_answer),
        _share("abstained", _of(answered, "unanswerable"), lambda each: not each.is_answer),
        _share("abstained_foreign", _of(answered, "foreign"), lambda each: not each.is_answer),
    ]


def confidences(answered: Sequence[Answered], kind: Kind) -> Floats:
    """Of the questions of a kind; one that found nothing has the least there is."""
    return np.array([-1.0 if each.confidence is None else each.confidence for each in _of(answered, kind)], np.float64)


def _of(answered: Sequence[Answered], kind: Kind) -> list[Answered]:
    return [each for each in answered if each.question.kind == kind]


def _best(answered: Answered) -> Sequence[Citation]:
    """One, or none; of equal ones the first."""
    return sorted(answered.citations, key=lambda span: -(span.score or 0.0))[:1]


def _holds(answered: Answered, text: str) -> bool:
    return contains(text, answered.question.query.answers)


def _share(name: str, answered: Sequence[Answered], is_so: Callable[[Answered], bool]) -> Samples:
    return Samples.of(name, _ids(answered), [float(is_so(each)) for each in answered])


def _of_spans(name: str, answered: Sequence[Answered], are_so: Callable[[Answered], list[bool]]) -> Samples:
    spans = [are_so(each) for each in answered]
    return Samples.of(name, _ids(answered), [sum(each) for each in spans], [len(each) for each in spans])


def _ids(answered: Sequence[Answered]) -> list[str]:
    return [each.question.query.id for each in answered]
