"""Plots of an evaluation, as SVG that stands inside a page."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.cli.eval.abstention import CurvePoint
from service.cli.eval.answer_metrics import AUROC_METRICS, SHARE_METRICS
from service.cli.eval.latency import Latency
from service.cli.eval.relevance import RELEVANCE_METRICS
from service.cli.eval.svg import svg
from service.cli.eval.way_result import WayResult

_WIDTH, _HEIGHT = 7.5, 3.6
_METRICS = (*RELEVANCE_METRICS, *SHARE_METRICS, *AUROC_METRICS)
_QUALITY = {"search": "ndcg@10", "query": "gold_in_answer"}
_CURVES = {
    "answered": "answerable questions answered",
    "abstained": "unanswerable questions left open",
    "abstained_foreign": "foreign questions left open",
}


def intervals(ways: Sequence[WayResult], salt: str) -> str:
    """Every metric with its 95 % interval, a colour for each way.

    Args:
        salt: of the names inside the drawing, which must differ on one page.
    """
    names = [name for name in _METRICS if any(way.metric(name) for way in ways)]
    figure = Figure((_WIDTH, 0.9 + 0.3 * len(names) * max(1, len(ways) / 2)), layout="constrained")
    axes = figure.subplots()
    for place, way in enumerate(ways):
        _interval_marks(axes, way, names, (place - (len(ways) - 1) / 2) * 0.7 / len(ways))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.grid(axis="x", alpha=0.3)
    _legend(axes)
    return svg(figure, salt)


def abstention(curve: Sequence[CurvePoint], salt: str, chosen: float | None = None) -> str:
    """What each threshold of the confidence answers and leaves open, and which of them was chosen."""
    figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    for name, label in _CURVES.items():
        points = [(point.threshold, share) for point in curve if (share := getattr(point, name)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label)
    if chosen is not None:
        axes.axvline(chosen, color="gray", linestyle="--", label=f"chosen: {chosen:g}")
    axes.set_xlabel("threshold of the confidence")
    axes.set_ylabel("share")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    _legend(axes)
    return svg(figure, salt)


def latency(ways: Sequence[WayResult], salt: str) -> str:
    """Quality over the time it took, from p50 to p95; empty where nothing has both."""
    panels = [(what, name) for what, name in _QUALITY.items() if any(_timed(ways, what, name))]
    if not panels:
        return ""
    figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
    for axes, (what, name) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for way, taken, value in _timed(ways, what, name):
            spread = [[0.0], [taken.p95 - taken.p50]]
            axes.errorbar([taken.p50], [value], xerr=spread, fmt="o", capsize=3, label=way)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(f"{what}, p50 to p95 in ms")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        _legend(axes)
    return svg(figure, salt)


def _timed(ways: Sequence[WayResult], what: str, name: str) -> list[tuple[str, Latency, float]]:
    """Name, time and quality of the ways that have both."""
    found = [(way.way, way.latency_ms[what], way.metric(name)) for way in ways]
    return [(way, taken, metric.value) for way, taken, metric in found if taken and metric and metric.value is not None]


def _interval_marks(axes: Axes, way: WayResult, names: Sequence[str], offset: float) -> None:
    values, spread, places = [], [], []
    for place, name in enumerate(names):
        metric = way.metric(name)
        if metric and metric.value is not None and metric.low is not None and metric.high is not None:
            values.append(metric.value)
            # A percentile interval of few queries may leave the value itself out.
            spread.append((max(0.0, metric.value - metric.low), max(0.0, metric.high - metric.value)))
            places.append(place + offset)
    if values:
        axes.errorbar(values, places, xerr=list(zip(*spread, strict=True)), fmt="o", capsize=3, label=way.way)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small")
