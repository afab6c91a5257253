"""quarry calibrate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from service.cli.calibrate.calibration import Calibration
from service.cli.calibrate.questions import Lists, Questions
from service.cli.calibrate.report import Report
from service.cli.calibrate.rule import Rule
from service.cli.calibrate.served_collection import ServedCollection
from service.cli.calibrate.told import show
from service.cli.console import DEFAULT_URL, KeyOption, UrlOption, fail, say_json, served
from service.cli.eval.asker import Asker
from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.command import ConcurrencyOption, JsonOption
from service.cli.eval.errors import EvalError
from service.cli.eval.extra import MATPLOTLIB, PYTREC_EVAL, require
from service.cli.eval.progress import bars
from service.cli.eval.template import require_folder, write_page

_RESAMPLES = 2000

CollectionArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
AnswerableOption = Annotated[
    list[Path],
    typer.Option(help="Questions that it answers: a line each, .jsonl, or a folder as of eval; may be repeated."),
]
UnanswerableOption = Annotated[
    list[Path] | None, typer.Option(help="Questions that it should leave open, likewise; may be repeated.")
]
ForeignOption = Annotated[
    list[Path] | None,
    typer.Option(help="The same of questions about something else, whatever their lines say; may be repeated."),
]
AnsweredOption = Annotated[
    float | None, typer.Option(help="Least share of the answerable questions to answer. [default: 0.95]")
]
AbstainedOption = Annotated[
    float | None, typer.Option(help="Instead: least share of the others to leave open.", show_default=False)
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the threshold and set nothing.")]
SeedOption = Annotated[int, typer.Option(help="Of what is held out, and of the resamples.", min=0)]
HtmlOption = Annotated[Path | None, typer.Option(help="Write a page with the curve there.", dir_okay=False)]


@dataclass(frozen=True, slots=True)
class _Task:
    questions: Questions
    rule: Rule
    bootstrap: Bootstrap
    is_dry: bool


def calibrate(
    collection: CollectionArgument,
    answerable: AnswerableOption,
    unanswerable: UnanswerableOption = None,
    foreign: ForeignOption = None,
    answered: AnsweredOption = None,
    abstained: AbstainedOption = None,
    dry_run: DryRunOption = False,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    concurrency: ConcurrencyOption = 1,
    seed: SeedOption = 0,
    html: HtmlOption = None,
    json: JsonOption = False,
) -> None:
    """Choose by questions from which confidence on quotes are an answer, and set that for a collection."""
    require_folder(html)
    require(*([] if html is None else [MATPLOTLIB, PYTREC_EVAL]))
    try:
        lists = Lists(answerable, unanswerable or [], foreign or [])
        rule = Rule.asked(answered, abstained, has_open=bool(lists.unanswerable or lists.foreign))
        task = _Task(lists.questions(), rule, Bootstrap(seed, _RESAMPLES), dry_run)
        task.questions.require_enough()
        with served(url, key) as http:
            report = _calibrated(ServedCollection(Asker(http, concurrency, bars()), collection), task)
    except EvalError as error:
        fail(str(error))
    _tell(report, html, json=json)


def _calibrated(collection: ServedCollection, task: _Task) -> Report:
    """Everything that may refuse it comes before the threshold is set."""
    described = collection.described()
    if not task.is_dry:
        collection.require_writable()
    calibration = Calibration.by(task.rule, collection.confidences(task.questions.asked), task.bootstrap)
    is_set = calibration.tells_apart and not task.is_dry
    if is_set:
        collection.set(calibration.threshold)
    return Report(described, task.questions, calibration, task.bootstrap, is_set)


def _tell(report: Report, html: Path | None, *, json: bool) -> None:
    if json:
        say_json(report.as_json())
    else:
        show(report)
    if html is not None:
        from service.cli.calibrate.page import page  # noqa: PLC0415  brings matplotlib

        write_page(html, page(report))
    if not report.calibration.tells_apart:
        area = report.calibration.areas[0]
        fail(f"nothing was set: the confidence does not tell these questions apart, AUROC {area}")
