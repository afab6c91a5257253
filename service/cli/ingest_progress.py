"""IngestProgress: how far an ingest is, as a bar or, where nobody can see one, a line now and then."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LINE_EVERY_S = 10.0


class IngestProgress:
    """On a terminal a bar with rate and time left, else lines. A context manager; thread-safe.

    Args:
        documents: in all.
        clock: monotonic seconds.
    """

    def __init__(self, documents: int, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._documents = documents
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._jobs: dict[str, Mapping[str, Any]] = {}
        columns = (TextColumn("documents"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        under_way = TextColumn("{task.description}", markup=False)
        self._bar = Progress(*columns, under_way, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=documents)
        self._said_at = clock()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, documents: int) -> None:
        """So many more are done."""
        with self._lock:
            self._done += documents
            self._bar.advance(self._task, documents)
            self._say()

    def follow(self, where: str, job: Mapping[str, Any] | None) -> None:
        """What the server says of the job of a file; None when that has ended."""
        with self._lock:
            if job is None:
                self._jobs.pop(where, None)
            else:
                self._jobs[where] = job
            self._bar.update(self._task, description=self._under_way())
            self._say()

    def _say(self) -> None:
        if self._console.is_terminal or self._clock() - self._said_at < _LINE_EVERY_S:
            return
        self._said_at = self._clock()
        under_way = self._under_way()
        done = f"{self._done} of {self._documents} documents"
        self._console.print(f"{done}; {under_way}" if under_way else done, markup=False)

    def _under_way(self) -> str:
        """What is known of the files that the server has, and has not done yet."""
        if not self._jobs:
            return ""
        running = sum(job["status"] == "running" for job in self._jobs.values())
        embedded = sum(job.get("embedded") or 0 for job in self._jobs.values())
        texts = sum(job.get("texts") or 0 for job in self._jobs.values())
        of_texts = f", embedded {embedded} of {texts} chunks and sentences" if texts else ""
        return f"{running} under way, {len(self._jobs) - running} waiting{of_texts}"


class _Rate(ProgressColumn):
    """Documents a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.1f}/s")
