"""Changes one byte of an index file, and checks that it is noticed and made good.

``python -m faults.byte_flip --flips 1000 --seed 1`` goes through the files again and again.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import orjson

from faults.collection_under_test import CollectionUnderTest
from faults.ledger import Ledger
from faults.workload import Workload

_SNAPSHOTS = (80, 120)  # writes before each
_TAIL = 10  # and after them


@dataclass(frozen=True, slots=True)
class Saved:
    """A data directory with two snapshots and a tail, closed, and what it must hold."""

    data_dir: Path
    ledger: Ledger

    @classmethod
    def made(cls, data_dir: Path, seed: int) -> "Saved":
        """In a folder that does not exist yet."""
        ledger = Ledger(Workload(seed, threads=1, ids=60))
        with closing(CollectionUnderTest(data_dir)) as subject:
            for serial in range(_SNAPSHOTS[-1] + _TAIL):
                _do(subject, ledger, serial)
                if serial + 1 in _SNAPSHOTS:
                    subject.maintain()
                    subject.do("snapshot")
        return cls(data_dir, ledger)

    @property
    def files(self) -> list[Path]:
        """Every index file with a byte, relative to the data directory: those of words, and of snapshots.

        The latter are the pointer to the current one, and two of them.
        """
        files = (path for path in self.data_dir.glob("collections/*/*/**/*") if path.is_file() and path.stat().st_size)
        return sorted(path.relative_to(self.data_dir) for path in files)

    def is_older(self, file: Path) -> bool:
        """Whether a start does not need the file."""
        snapshots = sorted({path.parent for path in self.files if path.parent.parent.name == "snapshots"})
        return file.parent == snapshots[0]


def flipped(saved: Saved, file: Path, rng: np.random.Generator, folder: Path) -> list[str]:
    """Change a byte of the file in a copy of the directory.

    Returns:
        What went wrong, a sentence each.
    """
    data_dir = Path(shutil.copytree(saved.data_dir, folder))
    content = bytearray((data_dir / file).read_bytes())
    place, mask = int(rng.integers(len(content))), int(rng.integers(1, 256))
    content[place] ^= mask
    (data_dir / file).write_bytes(content)
    wrong = [f"{file} at {place} ^ {mask}: {said}" for said in _met(saved, file, data_dir)]
    if not wrong:
        shutil.rmtree(folder)
    return wrong


def _met(saved: Saved, file: Path, data_dir: Path) -> Iterator[str]:
    with closing(CollectionUnderTest(data_dir)) as subject:
        if not subject.damage():
            yield "reading every byte finds nothing"
        if not saved.is_older(file) and not subject.trouble():
            yield "the status says nothing"
        yield from saved.ledger.check(subject).faults
        subject.maintain()
        if saved.is_older(file):
            subject.do("snapshot")  # nothing is due, as a start needed nothing of it; the next save removes it
        yield from (f"not healed: {said}" for said in [*subject.damage(), *subject.trouble()])
        yield from saved.ledger.check(subject).faults
    with closing(CollectionUnderTest(data_dir)) as subject:
        yield from (f"not healed after a start: {said}" for said in subject.trouble())
        yield from saved.ledger.check(subject).faults


def _do(subject: CollectionUnderTest, ledger: Ledger, serial: int) -> None:
    operation = ledger.workload.operation(serial)
    subject.put(operation.content) if operation.content else subject.delete(operation.document_id)
    ledger.read([f"intent {serial} {operation.kind}", f"acked {serial}"])


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    home, rng = Path(tempfile.mkdtemp(prefix="flip-test-")), np.random.default_rng(options.seed)
    saved, wrong = Saved.made(home / "saved", options.seed), []
    for number, file in zip(range(options.flips), cycle(saved.files), strict=False):
        wrong += flipped(saved, file, rng, home / str(number))
        if number % 50 == 0:
            sys.stderr.write(f"flip {number}: {len(wrong)} wrong\n")
    sys.stderr.write("".join(f"{said}\n" for said in wrong))
    summary = {"flips": options.flips, "files": len(saved.files), "wrong": len(wrong), "seed": options.seed}
    sys.stdout.write(orjson.dumps(summary).decode() + "\n")
    if not wrong:
        shutil.rmtree(home)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
