"""A report as one HTML page that loads nothing."""

from service.cli.calibrate import told
from service.cli.calibrate.report import Report
from service.cli.eval import plots
from service.cli.eval.template import drawing, rendered


def page(report: Report) -> str:
    """HTML with the curve inside it; no scripts."""
    calibration = report.calibration
    return rendered(
        "calibrate/page.html.j2",
        {},
        heading=told.heading(report),
        told=report.as_json(),
        remarks=report.remarks,
        criterion=told.criterion(calibration),
        figures=list(told.figures(calibration)),
        columns=[name for name in told.COLUMNS if getattr(calibration.point, name) is not None],
        points=calibration.curve,
        outcome=told.outcome(report),
        curve=drawing(plots.abstention(calibration.curve, "calibration", calibration.threshold)),
    )
