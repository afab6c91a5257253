"""Many together, or one alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import OverloadedError
from service.ingest import gate as module
from service.ingest.gate import Gate

PATIENCE_S = 200.0


def test_many_pass_together() -> None:
    gate, met = Gate(), threading.Barrier(4)

    def enter() -> None:
        with gate.together():
            met.wait(PATIENCE_S)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(enter) for _ in range(4)]:
            done.result(PATIENCE_S)


def test_nobody_is_inside_beside_one_who_is_alone() -> None:
    gate, seen = Gate(), []
    inside: set[int] = set()

    def together() -> None:
        for _ in range(300):
            with gate.together():
                inside.add(threading.get_ident())
                threading.Event().wait(0)  # lets another thread run
                inside.discard(threading.get_ident())

    def alone() -> None:
        for _ in range(100):
            with gate.alone():
                seen.append(len(inside))
                threading.Event().wait(0)
                seen.append(len(inside))

    with ThreadPoolExecutor(6) as threads:
        jobs: list[Callable[[], None]] = [together] * 4 + [alone] * 2
        for done in [threads.submit(job) for job in jobs]:
            done.result(PATIENCE_S)
    assert seen == [0] * 400


def test_who_waits_to_be_alone_goes_before_who_comes_later() -> None:
    gate, order = Gate(), []
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with gate.together():
            entered.set()
            assert leave.wait(PATIENCE_S)

    def alone() -> None:
        with gate.alone():
            order.append("alone")

    def later() -> None:
        with gate.together():
            order.append("later")

    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(first)]
        assert entered.wait(PATIENCE_S)
        jobs.append(threads.submit(alone))
        while not gate._waiting_alone:
            pass
        jobs.append(threads.submit(later))
        leave.set()
        for job in jobs:
            job.result(PATIENCE_S)
    assert order == ["alone", "later"]


def test_patience_ends_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    gate = Gate()
    with gate.together(), pytest.raises(OverloadedError, match=r"held up for 0\.01 s"), gate.alone():
        pass
    with gate.alone(), pytest.raises(OverloadedError), gate.together():
        pass
    with gate.together():
        pass


def test_an_error_inside_opens_the_gate_again() -> None:
    gate = Gate()
    for enter in (gate.together, gate.alone):
        with pytest.raises(KeyError), enter():
            raise KeyError
    with gate.alone():
        pass
