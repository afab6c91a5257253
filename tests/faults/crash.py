"""Kills a writing process at random moments and checks that its data directory holds what it acknowledged.

A round is the life of one data directory: several workers one after another, each killed in a phase and after a delay
that the round's seed draws. ``python -m faults.crash --kills 1000 --seed 1`` prints its progress and one line of JSON;
``--seed`` with the ``next_seed`` of that line goes on where it stopped.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import orjson

from faults.collection_under_test import STEPS, CollectionUnderTest
from faults.ledger import Ledger, Verdict
from faults.workload import Workload

ROOT = Path(__file__).parents[2]
_KILLS_A_ROUND = 8
_WRITES = ("ingest", "delete")
_PHASES = ("opening", *_WRITES, *STEPS)


def worker_command(*arguments: object) -> list[str]:
    """What starts a worker; ``worker_environment`` lets it import."""
    return [sys.executable, "-m", "faults.worker", *map(str, arguments)]


def worker_environment() -> dict[str, str]:
    """One thread for FAISS, so that a small machine runs the writers instead; no files but the data directory's."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True)
class Aim:
    """When to kill: ``delay_s`` after a phase has begun for the ``nth`` time."""

    phase: str
    nth: int
    delay_s: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Aim":
        """Delays from ten microseconds to ten milliseconds, ten times that in the background's long work.

        Each magnitude is as likely as the next.
        """
        phase = str(rng.choice(_PHASES))
        nth = int(rng.integers(1, 80)) if phase in _WRITES else 1
        return cls(phase, nth, float(10 ** rng.uniform(-5, -1 if phase in STEPS else -2)))

    def is_met_by(self, line: str) -> bool:
        """Whether that line of a journal begins the phase."""
        return line == f"began {self.phase}" or (line.startswith("intent ") and line.endswith(f" {self.phase}"))


class Nursery:
    """Workers forked from one process that has imported everything, one at a time."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__
        self._parent = subprocess.Popen(
            worker_command("--nursery"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=worker_environment(),
        )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._parent.kill()
        self._parent.communicate()
        self._errors.close()

    def kill_one(self, arguments: Sequence[object], aim: Aim) -> tuple[list[str], str]:
        """Start a worker and kill it at the aimed moment, or let it end where that never comes.

        Returns:
            The worker's journal, and what it or its parent wrote to standard error.
        """
        assert self._parent.stdin is not None
        self._parent.stdin.write(" ".join(map(str, arguments)) + "\n")
        self._parent.stdin.flush()
        journal, left, pid = [], aim.nth, 0
        for line in self._lines():
            if line.startswith("born "):
                pid = int(line.split()[1])
                continue
            journal.append(line)
            left -= aim.is_met_by(line)
            if left == 0:
                time.sleep(aim.delay_s)
                os.kill(pid, signal.SIGKILL)
                left = -1
        self._errors.seek(0)
        return journal, self._errors.read()

    def _lines(self) -> Iterator[str]:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            if line == "dead\n":
                return
            yield line.rstrip("\n")


def open_phases(journal: Sequence[str]) -> set[str]:
    """Which phases had begun and not ended."""
    count: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    for line in journal:
        word, name, *rest = line.split()
        if word == "intent":
            kinds[name] = rest[0]
        count[kinds.get(name, name)] += 1 if word in {"began", "intent"} else -1
    return {phase for phase, left in count.items() if left > 0}


@dataclass(slots=True)
class Tally:
    """The sum over all kills."""

    kills: int = 0
    acked: int = 0
    found: Verdict = field(default_factory=Verdict)
    errors: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        """Nothing lost, invented or doubled, and no worker met an error or missed what it had just written."""
        return not self.found.faults and not self.errors

    def summary(self) -> dict[str, object]:
        """Counts, for the last line."""
        counts = {"kills": self.kills, "acked": self.acked, **self.found.counts()}
        return {**counts, "errors": len(self.errors), "phases": self.phases}


class Round:
    """The life of one data directory.

    Args:
        nursery: of the workers.
        seed: of the workload and of every kill.
        folder: an empty one of its own.
        arguments: more options for the worker.
    """

    def __init__(self, nursery: Nursery, seed: int, folder: Path, *arguments: object) -> None:
        self._nursery = nursery
        self._seed = seed
        self._folder = folder
        self._arguments = arguments
        self._rng = np.random.default_rng((seed, 1))
        self._ledger = Ledger(Workload(seed))

    def play(self, kills: int, tally: Tally) -> None:
        """Kill that many workers; stops early at a fault, so that the directory stays as it was found."""
        for _ in range(kills):
            acked = self._ledger.acked
            self._kill_one(tally)
            try:
                self._check(tally)
            except Exception:  # the edge of a trial: whatever an opened directory raises is what is looked for
                tally.errors.append(traceback.format_exc())
            tally.kills += 1
            tally.acked += self._ledger.acked - acked
            if not tally.passed:
                return

    def _kill_one(self, tally: Tally) -> None:
        options = ("--read-back", "--seed", self._seed, "--first", self._ledger.next_serial, *self._arguments)
        journal, errors = self._nursery.kill_one((self._folder / "data", *options), Aim.drawn(self._rng))
        self._ledger.read(journal)
        tally.phases.update(open_phases(journal))
        tally.errors += [line for line in journal if line.startswith(("failed", "refused", "missed"))]
        tally.errors += [errors] if errors else []

    def _check(self, tally: Tally) -> None:
        """Open the directory, or a copy: then the next worker meets it just as this one left it."""
        data_dir = self._folder / "data"
        if copied := self._rng.random() < 0.5 and data_dir.is_dir():
            data_dir = Path(shutil.copytree(data_dir, self._folder / "copy"))
        with closing(CollectionUnderTest(data_dir)) as subject:
            tally.found.add(self._ledger.check(subject))
            if self._rng.random() < 0.3:
                subject.maintain()
                tally.found.add(self._ledger.check(subject))
        if copied:
            shutil.rmtree(data_dir)


def crash_test(kills: int, seed: int, folder: Path, *arguments: object) -> tuple[Tally, int]:
    """Rounds with the seeds ``seed``, ``seed + 1`` and so on, until there were that many kills or one fault.

    Returns:
        What was found, and the first seed that was not played to its end.
    """
    tally = Tally()
    with Nursery() as nursery:
        while tally.kills < kills and tally.passed:
            home = folder / str(seed)
            home.mkdir()
            Round(nursery, seed, home, *arguments).play(min(_KILLS_A_ROUND, kills - tally.kills), tally)
            sys.stderr.write(f"seed {seed}: {orjson.dumps(tally.summary()).decode()}\n")
            if tally.passed:
                shutil.rmtree(home)
                seed += 1
    return tally, seed


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="crash-test-"))
    tally, next_seed = crash_test(options.kills, options.seed, folder)
    for fault in [*tally.found.faults, *tally.errors]:
        sys.stderr.write(f"{fault}\n")
    if tally.passed:
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"the data directory is kept in {folder}\n")
    sys.stdout.write(orjson.dumps({**tally.summary(), "seed": options.seed, "next_seed": next_seed}).decode() + "\n")
    return 0 if tally.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
