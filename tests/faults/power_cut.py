"""Cuts the power at random moments of a recorded run and checks that the disk holds what was acknowledged by then.

A worker runs under strace; the calls it made are played to a ``Disk``, which makes the files that a cut after any of
them would leave. ``python -m faults.power_cut --cuts 1000 --seed 1`` records a run for each hundred cuts.
"""

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from faults import disk, trace
from faults.collection_under_test import CollectionUnderTest
from faults.disk import Disk
from faults.ledger import Ledger, Verdict
from faults.strace import traced, why_not
from faults.trace import Call, Descriptor
from faults.workload import Workload

_CUTS_A_RECORDING = 100
_OPERATIONS = 90
_LONGEST_DATA = 1 << 24  # bytes of one call that strace writes down


class RecordingError(RuntimeError):
    """The worker that was to be recorded failed by itself."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The calls of a worker that ran to its end in ``folder``.

    Attributes:
        seed: of its workload.
    """

    seed: int
    folder: Path
    calls: Sequence[Call]

    @property
    def acknowledgements(self) -> list[int]:
        """The lines of the trace at which one begins: when the power goes then, it has been promised already."""
        return [line for line, said in self._said() if said.startswith("acked")]

    @property
    def last_line(self) -> int:
        """Of the trace."""
        return self.calls[-1].ended

    def journal(self, cut: int) -> list[str]:
        """What the worker had begun to say when the line ``cut`` was written."""
        return [said for line, said in self._said() if line <= cut]

    def disks(self, cuts: Sequence[int]) -> Iterator[tuple[int, Disk]]:
        """The disk as it is after each of these lines, in their order."""
        events = sorted(
            [(call.begun, 0, i) for i, call in enumerate(self.calls)]
            + [(call.ended, 1, i) for i, call in enumerate(self.calls)]
        )
        followed, played = Disk(self.folder), 0
        for cut in sorted(cuts):
            while played < len(events) and events[played][0] <= cut:
                _, is_end, i = events[played]
                (followed.end if is_end else followed.begin)(self.calls[i])
                played += 1
            yield cut, followed

    def _said(self) -> list[tuple[int, str]]:
        return [
            (call.begun, call.arguments[1].decode().strip())
            for call in self.calls
            if call.name == "writev"
            and isinstance(call.arguments[0], Descriptor)
            and call.arguments[0].number == "1"
            and isinstance(call.arguments[1], bytes)
        ]


def recorded(seed: int, home: Path, *arguments: object) -> Recording:
    """Run a worker in an empty folder under ``home``.

    Raises:
        RecordingError: it did not come to its end as it should.
    """
    folder, log = home / "recorded", home / "trace"
    folder.mkdir(parents=True)
    options = ["-y", "-xx", "-s", str(_LONGEST_DATA), "-o", str(log), "-e", f"trace={disk.CALLS}"]
    run = traced(options, (folder / "data", "--seed", seed, "--operations", _OPERATIONS, *arguments))
    if run.status != 0 or run.errors or any(line.startswith(("failed", "refused")) for line in run.journal):
        raise RecordingError(f"status {run.status}: {run.errors} {run.journal[-3:]}")
    with log.open() as lines:
        calls = list(trace.calls(lines))
    log.unlink()
    return Recording(seed, folder, calls)


@dataclass(slots=True)
class Cuts:
    """What was found after all of them."""

    cuts: int = 0
    acked: int = 0
    found: Verdict = field(default_factory=Verdict)
    errors: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, int]:
        """Counts, for the last line."""
        return {"cuts": self.cuts, "acked": self.acked, **self.found.counts(), "errors": len(self.errors)}


def cut_power(recording: Recording, number: int, folder: Path, sums: Cuts) -> None:
    """Cut the power so often, half of the times just when something was acknowledged.

    Every other image also has some of what was not synced.
    """
    rng = np.random.default_rng((recording.seed, 2))
    anywhere = rng.integers(recording.last_line + 1, size=number - number // 2)
    lines = [*anywhere.tolist(), *rng.choice(recording.acknowledgements, size=number // 2).tolist()]
    for i, (cut, left) in enumerate(recording.disks(lines)):
        image = folder / f"{recording.seed}-{cut}-{i}"
        left.write_to(image, rng if i % 2 else None)
        faults = len(sums.found.faults) + len(sums.errors)
        _check(recording, cut, image, sums)
        if len(sums.found.faults) + len(sums.errors) == faults:
            shutil.rmtree(image)


def _check(recording: Recording, cut: int, image: Path, sums: Cuts) -> None:
    ledger = Ledger(Workload(recording.seed))
    ledger.read(recording.journal(cut))
    sums.cuts += 1
    sums.acked += ledger.acked
    try:
        with closing(CollectionUnderTest(image / "data")) as subject:
            verdict = ledger.check(subject)
    except Exception:  # the edge of a trial: whatever an opened directory raises is what is looked for
        sums.errors.append(f"{image}: {traceback.format_exc()}")
        return
    sums.found.add(verdict, f"{image.name}: ")


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if reason := why_not():
        sys.stderr.write(f"{reason}\n")
        return 1
    home, sums, seed = Path(tempfile.mkdtemp(prefix="power-test-")), Cuts(), options.seed
    while sums.cuts < options.cuts and not (sums.found.faults or sums.errors):
        recording = recorded(seed, home / str(seed))
        cut_power(recording, min(_CUTS_A_RECORDING, options.cuts - sums.cuts), home, sums)
        sys.stderr.write(f"seed {seed}: {orjson.dumps(sums.summary()).decode()}\n")
        shutil.rmtree(recording.folder)
        seed += 1
    sys.stderr.write("".join(f"{said}\n" for said in [*sums.found.faults, *sums.errors]))
    sys.stdout.write(orjson.dumps({**sums.summary(), "seed": options.seed, "next_seed": seed}).decode() + "\n")
    if sums.found.faults or sums.errors:
        sys.stderr.write(f"the images are kept in {home}\n")
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
