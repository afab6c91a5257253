"""Checks and what they find."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    Attributes:
        found: a sentence, with the values.
        advice: what to do; empty where all is well.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, Status.OK, found)


def warning(name: str, found: str, advice: str) -> Finding:
    """It will run, but worse than it could, or not for long."""
    return Finding(name, Status.WARNING, found, advice)


def failure(name: str, found: str, advice: str) -> Finding:
    """It will not run, or not as the settings have it."""
    return Finding(name, Status.FAILURE, found, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at.

    Attributes:
        look: gives a finding for each thing looked at.
        within_s: after that it is given up, and that is the finding.
    """

    name: str
    look: Callable[[], Iterable[Finding]]
    within_s: float = 10.0

    def made(self) -> Sequence[Finding]:
        """What it finds, within its time; never raises.

        The thread is a daemon: a driver or a file system that does not answer must not keep the process.
        """
        done: Future[Sequence[Finding]] = Future()
        start = time.monotonic()
        threading.Thread(target=self._run, args=(done,), name=f"doctor-{self.name}", daemon=True).start()
        try:
            return done.result(self.within_s)
        except FutureTimeoutError:
            took = f"gave no answer within {time.monotonic() - start:.0f} s"
            return [failure(self.name, took, "see what holds it up, then try again")]

    def _run(self, done: "Future[Sequence[Finding]]") -> None:
        try:
            done.set_result(list(self.look()))
        # The edge of a check: one that breaks is a finding, and the others are still made.
        except Exception as error:
            found = f"the check broke: {type(error).__name__}: {error}"
            done.set_result([failure(self.name, found, "report this, with the output of --json")])
