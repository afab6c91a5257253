"""A report in words, for people."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from service.cli.calibrate.calibration import Calibration
from service.cli.calibrate.report import Report
from service.cli.calibrate.rule import Rule
from service.cli.console import err, out
from service.cli.eval.abstention import CurvePoint

COLUMNS = ("answered", "abstained", "abstained_foreign")
# Of the hundredths that a curve has.
_SHOWN_EVERY = 5


def show(report: Report) -> None:
    """Figures, curve, and what was done."""
    calibration = report.calibration
    out.print(heading(report), style="bold", markup=False)
    for remark in report.remarks:
        err.print(remark, style="yellow", markup=False)
    out.print(f"threshold {calibration.threshold:g}: {criterion(calibration)}")
    table = Table("", "at the threshold", "held out", box=box.SIMPLE)
    for row in figures(calibration):
        table.add_row(*row)
    out.print(table, soft_wrap=False)
    out.print(_curve(calibration), soft_wrap=False)
    if calibration.tells_apart:
        out.print(outcome(report), markup=False)


def heading(report: Report) -> str:
    """Collection and questions."""
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items() if count)
    return f"{report.collection['name']}: {counts} questions"


def criterion(calibration: Calibration) -> str:
    """The rule in words."""
    rule: Rule = calibration.rule
    if not len(calibration.confidences.open):
        return f"the highest that answers {rule.answered:g} of the answerable questions"
    if not rule.answered and not rule.abstained:
        return "the greatest balanced accuracy"
    kept = f"leave {rule.abstained:g} of the others open" if rule.abstained else f"answer {rule.answered:g}"
    return f"the greatest balanced accuracy of those that {kept}"


def figures(calibration: Calibration) -> Iterator[tuple[str, str, str]]:
    """Name, at the threshold, and held out, of what there is."""
    for metric, held_out in zip(calibration.on_all, calibration.held_out.shares, strict=True):
        if metric.value is not None:
            yield metric.name, str(metric), str(held_out)
    areas = [area for area in calibration.areas if area.value is not None]
    for area in areas if len(areas) == len(calibration.areas) else areas[:1]:  # one kind alone is all of them
        yield area.name, str(area), ""


def rows(calibration: Calibration) -> list[CurvePoint]:
    """Every fifth of the curve's, and the threshold."""
    few = [
        point
        for point in calibration.curve
        if round(point.threshold * 100) % _SHOWN_EVERY == 0 and point.threshold != calibration.threshold
    ]
    return sorted([*few, calibration.point], key=lambda point: point.threshold)


def outcome(report: Report) -> str:
    """What the collection has now."""
    name, threshold, before = report.collection["name"], report.calibration.threshold, previous(report)
    if report.is_set:
        return f"min_confidence of {name} is {threshold:g} now; it was {before}"
    return f"nothing was set: min_confidence of {name} is {before}"


def previous(report: Report) -> str:
    """The threshold from before."""
    value = report.collection["min_confidence"]
    return "the server's default" if value is None else f"{value:g}"


def _curve(calibration: Calibration) -> Table:
    shown = [name for name in COLUMNS if getattr(calibration.point, name) is not None]
    table = Table("from", *shown, box=box.SIMPLE)
    for point in rows(calibration):
        shares = [f"{getattr(point, name):.4f}" for name in shown]
        table.add_row(f"{point.threshold:g}", *shares, style="bold" if point is calibration.point else None)
    return table
