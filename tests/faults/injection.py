"""Lets each write, fsync and rename of a short run fail once, or from then on, and looks at what comes of it.

``python -m faults.injection`` goes through all of them; ``--most N`` takes N of each call.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count, cycle, product
from pathlib import Path

import numpy as np
import orjson

from faults.collection_under_test import CollectionUnderTest
from faults.ledger import Ledger, Verdict
from faults.strace import Run, traced, why_not
from faults.worker import REFUSED
from faults.workload import Workload

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "mkdir", "unlink", "ftruncate")
ERRORS = ("ENOSPC", "EIO")
_OPERATIONS = 14
_THREADS = 2  # that use the disk: the worker's own, which maintains, and the one that commits
_CALL = re.compile(r"(\d+)\s+(\w+)\(")  # in a line of strace: thread and call
_WORKLOAD = Workload(seed=11, threads=1, ids=6, chunks=96)
# Documents so large that the tail is sealed on the way, with every kind of background work in between.
_ARGUMENTS = ("--seed", 11, "--threads", 1, "--ids", 6, "--chunks", 96, "--operations", _OPERATIONS, "--step-every", 2)


@dataclass(frozen=True, slots=True)
class Fault:
    """The ``nth`` call of each thread fails, and with ``lasting`` all after it."""

    call: str
    nth: int
    error: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.call}:{self.error}:{self.nth}{'+' * self.lasting}"

    @property
    def options(self) -> list[str]:
        """Of strace."""
        when = f"{self.nth}{'+' * self.lasting}"
        return ["-e", f"trace={self.call}", "-e", f"inject={self.call}:error={self.error}:when={when}"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault.

    Attributes:
        hit: there was such a call.
        reported: errors that the worker was told of.
        complaints: what should not have come of it, beside what the verdict has.
    """

    fault: Fault
    hit: bool
    reported: int
    verdict: Verdict
    complaints: Sequence[str]

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, with the fault it came of."""
        return [f"{self.fault}: {said}" for said in [*self.verdict.faults, *self.complaints]]


def suffered(fault: Fault, folder: Path, *arguments: object) -> Outcome:
    """Run a worker under the fault in an empty folder of its own, then open what it leaves without one."""
    folder.mkdir()
    log = folder / "calls"
    run = traced(["-o", str(log), *fault.options], (folder / "data", *_ARGUMENTS, *arguments))
    ledger = Ledger(_WORKLOAD)
    ledger.read(run.journal)
    verdict, complaints = Verdict(), list(_complaints(run, fault))
    try:
        with closing(CollectionUnderTest(folder / "data")) as subject:
            verdict.add(ledger.check(subject))
            subject.maintain()
            verdict.add(ledger.check(subject), "after maintenance: ")
    except Exception:  # the edge of a trial: whatever an opened directory raises is what is looked for
        complaints.append(traceback.format_exc())
    reported = sum(line.startswith(("failed", "refused")) for line in run.journal)
    outcome = Outcome(fault, "(INJECTED)" in log.read_text(), reported, verdict, complaints)
    if not outcome.faults:
        shutil.rmtree(folder)
    return outcome


def sweep(folder: Path) -> Iterator[Outcome]:
    """Each N of each call, with either error, passing and lasting, until there is no such call any more."""
    lines = list(product(CALLS, ERRORS, (False, True)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for line in pool.map(lambda line: list(_line(folder, *line)), lines):
            yield from line


def sample(folder: Path, most: int) -> list[Outcome]:
    """``most`` faults of each call, evenly spaced over a run, the kinds in turn."""
    folder.mkdir(exist_ok=True)
    kinds = cycle(product(ERRORS, (False, True)))
    faults = [
        Fault(call, nth, *next(kinds))
        for call, calls in _counted(folder / "counted").items()
        for nth in sorted({int(n) for n in np.linspace(1, calls, most)})
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda fault: suffered(fault, folder / str(fault)), faults))


def _line(folder: Path, call: str, error: str, lasting: bool) -> Iterator[Outcome]:
    for nth in count(1):
        outcome = suffered(Fault(call, nth, error, lasting), folder / f"{call}-{error}-{nth}-{lasting}")
        if not outcome.hit:
            return
        yield outcome


def _counted(folder: Path) -> dict[str, int]:
    """How often a run without a fault makes each call in the thread that makes it most."""
    folder.mkdir()
    log = folder / "calls"
    traced(["-o", str(log), "-e", f"trace={','.join(CALLS)}"], (folder / "data", *_ARGUMENTS))
    made = Counter(tuple(_CALL.match(line).groups()) for line in log.read_text().splitlines() if _CALL.match(line))
    return {call: max(n for (_, name), n in made.items() if name == call) for call in sorted({c for _, c in made})}


def _complaints(run: Run, fault: Fault) -> Iterator[str]:
    if run.status not in {0, REFUSED}:
        yield f"the worker ended with {run.status}"
    if run.errors:
        yield run.errors
    intents = [line.split()[1] for line in run.journal if line.startswith("intent")]
    answers = [line.split()[1] for line in run.journal if line.startswith(("acked", "failed"))]
    yield from (f"write {serial} was never answered" for serial in intents if serial not in answers)
    # A step counts once however often it failed: tantivy writes in new threads each time, each with an nth call.
    failed = {line.split()[1] for line in run.journal if line.startswith("failed")}
    if not fault.lasting and len(failed) > _THREADS:
        yield f"one fault made {len(failed)} things fail: {sorted(failed)}"


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, help="faults of each call; all without")
    options = parser.parse_args(arguments)
    if reason := why_not():
        sys.stderr.write(f"{reason}\n")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="fault-test-"))
    runs = reported = 0
    wrong: list[str] = []
    for outcome in sample(folder, options.most) if options.most else sweep(folder):
        runs += 1
        reported += bool(outcome.reported)
        wrong += outcome.faults
        sys.stderr.write(f"{outcome.fault}: {outcome.reported} errors reported, {len(outcome.faults)} wrong\n")
    sys.stderr.write("".join(f"{said}\n" for said in wrong))
    sys.stdout.write(orjson.dumps({"runs": runs, "reported": reported, "wrong": len(wrong)}).decode() + "\n")
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
