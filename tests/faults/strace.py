"""Runs a worker under strace."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from faults.crash import ROOT, worker_command, worker_environment

# A hang is a fault too; a run takes less than a second where it is quiet.
_LIMIT_S = 90


@dataclass(frozen=True, slots=True)
class Run:
    """How a worker ended, and what it said."""

    status: int
    journal: Sequence[str]
    errors: str


@cache
def why_not() -> str | None:
    """Why nothing can be traced here; None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync", "true"],  # noqa: S607  the one on the path
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.strip()[-200:]}"


def traced(options: Sequence[str], arguments: Sequence[object]) -> Run:
    """A worker with these arguments, run to its end under strace with these options."""
    command = ["strace", "-f", "--seccomp-bpf", "-qq", *options, *worker_command(*arguments)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=worker_environment(),
        start_new_session=True,
    ) as process:
        try:
            journal, errors = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            journal, errors = process.communicate()
            errors += f"nothing more came within {_LIMIT_S} s"
    return Run(process.returncode, journal.splitlines(), errors)
