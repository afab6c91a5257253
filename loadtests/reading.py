"""Reading: what the server holds and what waits in it, once a second."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil
from prometheus_client.parser import text_string_to_metric_families

_READ = (
    *("quarry_queue_tokens", "quarry_llm_queue", "quarry_llm_slots", "quarry_ledger_bytes", "quarry_gpu_memory_bytes"),
    *("quarry_backlog_questions", "quarry_backlog_wait_seconds"),
    *("process_resident_memory_bytes", "process_open_fds", "quarry_threads"),
)
_GPU_USED = {"kind": "used"}


@dataclass(frozen=True, slots=True)
class Reading:
    """Figures of one moment; None is not told by this server.

    Attributes:
        at_s: second of the run.
        queue_tokens: that wait for the device, in all lanes.
        llm_queue, llm_slots: answers that wait for a language model, and those that are being written.
        questions, question_wait_s: that are being searched for, and what one more would wait behind them.
        memory: bytes by device, as the server's ledger has them.
        gpu_used: bytes by device, whoever holds them.
        resident_bytes, descriptors, threads: of the server's process.
    """

    at_s: float
    queue_tokens: float | None = None
    llm_queue: float | None = None
    llm_slots: float | None = None
    questions: float | None = None
    question_wait_s: float | None = None
    memory: Mapping[str, float] | None = None
    gpu_used: Mapping[str, float] | None = None
    resident_bytes: float | None = None
    descriptors: float | None = None
    threads: float | None = None

    def as_line(self) -> bytes:
        """One line of JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What the operating system tells of a process."""

    resident_bytes: float
    descriptors: float
    threads: float

    @classmethod
    def of(cls, process: psutil.Process) -> "ProcessFigures":
        """At this moment.

        Raises:
            psutil.Error: it has ended, or is another user's.
        """
        with process.oneshot():
            return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


def read(at_s: float, exposition: str, process: ProcessFigures | None) -> Reading:
    """A reading of the text of ``/metrics``; what the process says itself goes before that."""
    found = _samples(exposition)
    resident, descriptors = found["process_resident_memory_bytes"], found["process_open_fds"]
    return Reading(
        at_s,
        queue_tokens=_sum(found["quarry_queue_tokens"]),
        llm_queue=_sum(found["quarry_llm_queue"]),
        llm_slots=_sum(found["quarry_llm_slots"]),
        questions=_sum(found["quarry_backlog_questions"]),
        question_wait_s=_sum(found["quarry_backlog_wait_seconds"]),
        memory=_by_device(found["quarry_ledger_bytes"]),
        gpu_used=_by_device(each for each in found["quarry_gpu_memory_bytes"] if each[0].items() >= _GPU_USED.items()),
        resident_bytes=process.resident_bytes if process else _sum(resident),
        descriptors=process.descriptors if process else _sum(descriptors),
        threads=process.threads if process else _sum(found["quarry_threads"]),
    )


def write(path: Path, readings: Iterable[Reading]) -> None:
    """All of them, a line each."""
    with path.open("wb") as out:
        out.writelines(reading.as_line() for reading in readings)


Labelled = list[tuple[Mapping[str, str], float]]


def _samples(exposition: str) -> Mapping[str, Labelled]:
    """By name. Only the lines that are wanted are parsed: the parser is slow, and the server shares the processor."""
    lines = [line for line in exposition.splitlines() if line.startswith(_READ)]
    found: defaultdict[str, Labelled] = defaultdict(list)
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def _sum(samples: Labelled) -> float | None:
    return sum(value for _, value in samples) if samples else None


def _by_device(samples: Iterable[tuple[Mapping[str, str], float]]) -> Mapping[str, float] | None:
    found: defaultdict[str, float] = defaultdict(float)
    for labels, value in samples:
        found[labels["device"]] += value
    return dict(found) or None


Figure = Callable[[Reading], float | None]


def series(readings: Iterable[Reading], figure: Figure) -> list[tuple[float, float]]:
    """(second, value) of the readings that have it."""
    return [(reading.at_s, value) for reading in readings if (value := figure(reading)) is not None]
