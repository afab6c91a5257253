"""A process that writes to a collection and says on its standard output what it does, until it is killed.

Its journal has a line for each event, written with writev: faults are injected into write, and the journal is no
part of what is tested. ``began``/``ended`` name a phase, ``intent N``/``acked N`` a write by its serial number,
``missed N`` one after which a search found a document not just once, or one that was deleted.
"""

import argparse
import os
import queue
import sqlite3
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from faults.collection_under_test import STEPS, CollectionUnderTest
from faults.workload import Content, Operation, Workload
from indexes.errors import IndexesError

_PATIENCE_S = 200.0
REFUSED = 3  # exit status: the data directory could not be opened, and an IndexesError said why
# What the background does, over and over: mostly what falls due, now and then what an operator asks for.
_ROUND = ("maintain", "snapshot", "maintain", "rebuild", "maintain")


def say(*words: object) -> None:
    """One line of the journal, in one system call."""
    os.writev(sys.stdout.fileno(), [(" ".join(map(str, words)) + "\n").encode()])


class Worker:
    """Runs a workload against a collection, from the serial number ``first`` on."""

    def __init__(self, subject: CollectionUnderTest, workload: Workload, options: argparse.Namespace) -> None:
        self._subject = subject
        self._workload = workload
        self._options = options
        self._serials = range(options.first, options.first + options.operations)
        self._due: queue.Queue[bool] = queue.Queue(1)  # so that writers do not run far ahead of the maintenance
        self._mine: list[dict[str, Content | None]] = [{} for _ in range(workload.threads)]
        self._steps = [name for name in _ROUND if name in STEPS]
        self._step = options.first  # so that workers that follow one another begin anywhere in the round

    def run(self) -> None:
        """Every operation, with maintenance beside it or, with one thread, between them."""
        threads = self._workload.threads
        if threads == 1:
            self._write(0)
            return
        with ThreadPoolExecutor(threads + 1) as pool:
            maintaining = pool.submit(self._maintain)
            for finished in as_completed([pool.submit(self._write, thread) for thread in range(threads)]):
                finished.result()
            self._due.put(False, timeout=_PATIENCE_S)
            maintaining.result()

    def _write(self, thread: int) -> None:
        for serial in self._serials:
            if serial % self._workload.threads != thread:
                continue
            self._do(serial)
            if serial % self._options.step_every == 0:
                self._maintain_once() if self._workload.threads == 1 else self._due.put(True, timeout=_PATIENCE_S)

    def _do(self, serial: int) -> None:
        operation = self._workload.operation(serial)
        say("intent", serial, operation.kind)
        lies = self._options.lie_every and serial % self._options.lie_every == 0
        try:
            if lies:
                outcome = "lie"
            elif operation.content is None:
                outcome = self._subject.delete(operation.document_id)
            else:
                outcome = self._subject.put(operation.content)
        except IndexesError as error:
            say("acked" if self._options.ack_failures else "failed", serial, type(error).__name__, error)
        else:
            say("acked", serial, outcome)
            if self._options.read_back:
                self._read_back(operation)

    def _read_back(self, operation: Operation) -> None:
        """Nobody else writes this thread's documents: what it wrote, now and before, is found once or not at all."""
        mine = self._mine[operation.serial % self._workload.threads]
        mine[operation.document_id] = operation.content or mine.get(operation.document_id)
        before = list(mine)[operation.serial % len(mine)]
        for document_id in {operation.document_id, before}:
            content = mine[document_id]
            if content is None:
                continue
            gone = document_id == operation.document_id and operation.content is None
            hits = self._subject.search(content.vectors[0], top_k=2)
            times = sum(hit.chunk == content.chunks[0] for hit in hits)
            if times != (0 if gone else 1):
                say("missed", operation.serial, f"{content.chunks[0].id} is found {times} times")
        if operation.content is None:
            del mine[operation.document_id]

    def _maintain(self) -> None:
        while self._due.get(timeout=_PATIENCE_S):
            self._maintain_once()

    def _maintain_once(self) -> None:
        name = self._steps[self._step % len(self._steps)]
        self._step += 1
        say("began", name)
        try:
            result = self._subject.do(name)
        except IndexesError as error:
            say("failed", name, type(error).__name__, error)
        else:
            say("ended", name, result)


def _synchronous_off() -> None:
    """Connect to SQLite without the promise that the store asks for, whatever it says."""

    class Careless(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401  the type of sqlite3
            return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *arguments)

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Careless, **kwargs)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="serial number of the first operation")
    parser.add_argument("--operations", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--ids", type=int, default=40)
    parser.add_argument("--chunks", type=int, default=24)
    parser.add_argument("--step-every", type=int, default=10, help="operations between two steps of maintenance")
    parser.add_argument("--read-back", action="store_true", help="search for what was written after each operation")
    parser.add_argument("--lie-every", type=int, default=0, help="acknowledge such operations without doing them")
    parser.add_argument("--ack-failures", action="store_true", help="acknowledge what failed")
    parser.add_argument("--synchronous-off", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Open, run, close; each phase in the journal."""
    options = _options(arguments)
    if options.synchronous_off:
        _synchronous_off()
    say("began", "opening")
    try:
        subject = CollectionUnderTest(options.data_dir)
    except IndexesError as error:
        say("refused", type(error).__name__, error)
        return REFUSED
    say("ended", "opening")
    workload = Workload(options.seed, options.threads, options.ids, options.chunks)
    Worker(subject, workload, options).run()
    say("began", "closing")
    subject.close()
    say("ended", "closing")
    return 0


def nursery() -> int:
    """Fork a worker for each line of arguments on standard input; ``born`` and ``dead`` frame its journal."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say("born", os.getpid())
            os._exit(main(line.split()))
        os.waitpid(child, 0)
        say("dead")
    return 0


if __name__ == "__main__":
    sys.exit(nursery() if sys.argv[1:] == ["--nursery"] else main(sys.argv[1:]))
