"""A process of its own that opens a data directory and answers one search, several times.

The process of the benchmark cannot tell: its allocator gives what a closed collection had to the one opened next.
"""

import gc
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import orjson

from indexes.base import Vectors
from service.cli.bench.search.latency import searchers
from service.cli.bench.search.subject import Subject

_ROUNDS = 3
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class FirstSearches:
    """What they took.

    Attributes:
        seconds: median from opening the data directory to the hits; everything is imported by then.
        memory_bytes: that the process grew by in the first of them, as the kernel counts; 0 where it does not say.
    """

    seconds: float
    memory_bytes: int

    @classmethod
    def timed(cls, closed: Subject, query: Vectors) -> "FirstSearches":
        """In another process.

        Args:
            closed: whose data directory no process has open.
            query: ``(dimension,)``.
        """
        command = [sys.executable, "-m", __name__, str(closed.folder), str(closed.seal_rows)]
        body = query.astype("<f4").tobytes()
        done = subprocess.run(command, input=body, capture_output=True, check=True, timeout=_TIMEOUT_S)  # noqa: S603
        return cls(**orjson.loads(done.stdout))

    @classmethod
    def here(cls, folder: Path, seal_rows: int, query: Vectors) -> "FirstSearches":
        """In this process."""
        each = [_timed(folder, seal_rows, query) for _ in range(_ROUNDS)]
        return cls(median(seconds for seconds, _ in each), each[0][1])


def _timed(folder: Path, seal_rows: int, query: Vectors) -> tuple[float, int]:
    """Seconds, and bytes that the process grew by."""
    with searchers(1) as thread:
        thread.submit(gc.collect).result()
        before, start = _resident_bytes(), time.perf_counter()
        subject = Subject.open(folder, len(query), seal_rows)
        thread.submit(subject.search, query, 1).result()
        seconds, memory = time.perf_counter() - start, _resident_bytes() - before
        subject.close()
    return seconds, memory


def _resident_bytes() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)


def main() -> None:
    """Folder and rows to seal at as arguments, the query's bytes on stdin, JSON on stdout."""
    folder, seal_rows = sys.argv[1:]
    query = np.frombuffer(sys.stdin.buffer.read(), dtype="<f4").astype(np.float32)
    sys.stdout.buffer.write(orjson.dumps(asdict(FirstSearches.here(Path(folder), int(seal_rows), query))))


if __name__ == "__main__":
    main()
