"""A report as one HTML page that loads nothing."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from loadtests import plots
from loadtests.report import Report
from service.cli.eval.template import drawing


def page(report: Report) -> str:
    """HTML with the plots inside it; no scripts."""
    loaders = [PackageLoader("loadtests", "."), PackageLoader("service.cli", ".")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    run, objectives = report.measured.run, report.budgets.objectives
    return environment.get_template("page.html.j2").render(
        report=report,
        told=report.as_json(),
        latency=drawing(plots.latency(run, "latency")),
        timeline=drawing(plots.timeline(run, objectives, "timeline")),
        goodput=drawing(plots.goodput(run, report.measured.steps, objectives, "goodput")),
    )
