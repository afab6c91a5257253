"""Plots of a load test, as SVG that stands inside a page."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.capacity import Step
from loadtests.goodput import by_second
from loadtests.measured import Run
from loadtests.objective import Objectives
from loadtests.reading import Reading, series
from loadtests.route import Route
from loadtests.sample import Outcome
from service.cli.eval.svg import svg

_WIDTH, _HEIGHT = 7.5, 3.6
_MIB = 1 << 20
_WINDOW_S = 5
_WAITING = {
    "tokens for the device": lambda each: each.queue_tokens,
    "questions that are searched for": lambda each: each.questions,
    "answers for a language model": lambda each: each.llm_queue,
    "answers that are being written": lambda each: each.llm_slots,
}


def latency(run: Run, salt: str) -> str:
    """The share of the requests of a route that took no longer, from the intended start; empty without any."""
    figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    for label, values in _times(run).items():
        ordered = np.sort(values)
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=label)
    if not axes.lines:
        return ""
    axes.set_xscale("log")
    axes.set_xlabel("ms from the intended start")
    axes.set_ylabel("share of the requests")
    axes.set_ylim(0, 1.02)
    _finish(axes)
    return svg(figure, salt)


def timeline(run: Run, objectives: Objectives, salt: str) -> str:
    """Second by second: what was offered and good, what waited in the server and for how long, and what it held."""
    figure = Figure((_WIDTH, 4 * 2.6), layout="constrained")
    load, queue, wait, memory = figure.subplots(4, 1, sharex=True)
    counts = by_second(run.samples, objectives, run.shape.seconds)
    for column, label in enumerate(("offered", "good")):
        load.step(np.arange(len(counts)), counts[:, column], where="post", label=label)
    load.set_ylabel("requests a second")
    for label, figure_of in _WAITING.items():
        if waiting := series(run.readings, figure_of):
            queue.plot(*zip(*waiting, strict=True), label=label)
    queue.set_ylabel("waiting")
    if waits := series(run.readings, lambda each: each.question_wait_s):
        wait.plot(*zip(*waits, strict=True), label="one more question")
    wait.set_ylabel("wait, s")
    for label, points in _memory(run.readings).items():
        memory.plot(*zip(*points, strict=True), label=label)
    memory.set_ylabel("memory, MiB")
    memory.set_xlabel("second of the run")
    for axes in (load, queue, wait, memory):
        axes.set_ylim(bottom=0)
        _finish(axes)
    return svg(figure, salt)


def goodput(run: Run, steps: Sequence[Step], objectives: Objectives, salt: str) -> str:
    """Good requests a second against offered ones: of the steps of the search, and of every five seconds of the run."""
    figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    windows = _windows(run, objectives)
    axes.scatter(windows[:, 0], windows[:, 1], s=12, alpha=0.5, label="five seconds of the run")
    reach = [float(windows[:, 0].max(initial=0.0))]
    if steps:
        points = sorted((step.goodput.offered_per_s, step.good_per_s) for step in steps)
        axes.plot(*zip(*points, strict=True), marker="o", label="steps of the search for the capacity")
        reach.append(points[-1][0])
    axes.plot([0, max(reach)], [0, max(reach)], color="gray", linestyle="--", label="all good")
    axes.set_xlabel("offered requests a second")
    axes.set_ylabel("good requests a second")
    _finish(axes)
    return svg(figure, salt)


def _times(run: Run) -> Mapping[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    for route in Route:
        here = [sample for sample in run.samples if sample.route is route and sample.outcome is not Outcome.SHED]
        if first := [sample.ttft_ms for sample in here if sample.ttft_ms is not None]:
            found[f"{route}, first text"] = first
        if total := [sample.total_ms for sample in here if sample.total_ms is not None]:
            found[route.value] = total
    return found


def _memory(readings: Sequence[Reading]) -> Mapping[str, Sequence[tuple[float, float]]]:
    """By what is told: the ledger and NVML by device, and the resident set."""
    found: dict[str, list[tuple[float, float]]] = {}
    for reading in readings:
        told = {f"{device}, ledger": held for device, held in (reading.memory or {}).items()}
        told |= {f"{device}, used": held for device, held in (reading.gpu_used or {}).items()}
        if reading.resident_bytes is not None:
            told["resident set"] = reading.resident_bytes
        for label, held in told.items():
            found.setdefault(label, []).append((reading.at_s, held / _MIB))
    return found


def _windows(run: Run, objectives: Objectives) -> np.ndarray:
    """``(windows, 2)``: offered and good a second; what is left over at the end is none."""
    counts = by_second(run.samples, objectives, run.shape.seconds)
    length = min(_WINDOW_S, len(counts))
    whole = counts[: len(counts) // length * length]
    rates: np.ndarray = whole.reshape(-1, length, 2).sum(axis=1) / length
    return rates


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small")
