"""Load beside a test: what a busy machine costs, and requests that come again and again."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

_NAP_S = 0.02


@dataclass
class Lateness:
    """How much later than asked for this process was woken, in all."""

    seconds: float = 0.0


@contextmanager
def lateness() -> Iterator[Lateness]:
    """Measured during the block; a machine that makes this process wait makes others wait as well."""
    measured, ended = Lateness(), threading.Event()

    def nap() -> None:
        while not ended.is_set():
            began = time.monotonic()
            ended.wait(_NAP_S)
            measured.seconds += max(0.0, time.monotonic() - began - _NAP_S)

    with ThreadPoolExecutor(1) as pool:
        napping = pool.submit(nap)
        try:
            yield measured
        finally:
            ended.set()
    napping.result()


@dataclass
class Repeated:
    """How often the calls of the block were made."""

    times: int = 0


@contextmanager
def again_and_again(*calls: Callable[[], None]) -> Iterator[list[Repeated]]:
    """Each call is made over and over, on a thread of its own, during the block and at least once after it began.

    Raises:
        Exception: what one of them raised.
    """
    ended, counts = threading.Event(), [Repeated() for _ in calls]

    def repeat(call: Callable[[], None], count: Repeated) -> None:
        while not ended.is_set() or not count.times:
            call()
            count.times += 1

    with ThreadPoolExecutor(len(calls)) as pool:
        repeating = [pool.submit(repeat, call, count) for call, count in zip(calls, counts, strict=True)]
        try:
            yield counts
        finally:
            ended.set()
    for each in repeating:
        each.result()
