"""Frozen, busy, and back again: what the parent makes of a vLLM that says nothing."""

import os
import signal
import time
from collections.abc import Callable

from service.up.durations import Durations

Running = Callable[[int], bool]


def test_a_stopped_vllm_is_seen_in_time_and_its_return_too(up) -> None:  # noqa: ANN001
    up.start()
    up.ready()
    promised = Durations()
    stopped = time.monotonic()
    os.kill(up.vllm(), signal.SIGSTOP)
    frozen = up.until(lambda: up.events("llm-main", "frozen"))[0]
    # 6 s on a machine of its own; the bound leaves as much again for one that is shared.
    assert frozen["monotonic"] - stopped < 2 * (promised.frozen_after_s + 1)
    up.until(lambda: [told for told in up.records("serve", "phase") if told["phase"] == "frozen"])
    os.kill(up.vllm(), signal.SIGCONT)
    up.ready(times=2)
    assert len(up.records("vllm", "started")) == 1


def test_a_vllm_that_stays_frozen_is_killed_and_started_again(up, running: Running) -> None:  # noqa: ANN001
    up.durations = {"frozen_after_s": 1.0, "killed_after_s": 0.5}
    up.start()
    up.ready()
    vllm = up.vllm()
    os.kill(vllm, signal.SIGSTOP)
    down = up.until(lambda: up.events("llm-main", "down"))[0]
    assert "frozen for" in down["why"]
    assert not running(vllm)
    up.until(lambda: up.vllm() != vllm)
    up.ready(times=2)


def test_a_hung_engine_behind_a_healthy_server_is_frozen(up) -> None:  # noqa: ANN001
    up.durations = {"frozen_after_s": 1.0, "killed_after_s": 1000.0}
    up.start()
    up.ready()
    up.script(answers=False)
    up.until(lambda: up.events("llm-main", "frozen"))


def canaries_after(up, times: int) -> None:  # noqa: ANN001
    before = len(up.records("vllm", "body"))
    up.until(lambda: len(up.records("vllm", "body")) >= before + times)


def test_a_saturated_vllm_is_never_killed(up) -> None:  # noqa: ANN001
    """Eight canaries in a row without an answer, for half a second each: several times what would be frozen."""
    up.durations = {"frozen_after_s": 1.0, "killed_after_s": 0.5, "canary_s": 0.5}
    up.start()
    up.ready()
    up.script(answers=False, counts=True)
    canaries_after(up, 8)
    assert not up.events("llm-main", "down")
    assert len(up.records("vllm", "started")) == 1


def test_counters_that_are_slow_to_come_are_signs_of_life(up) -> None:  # noqa: ANN001
    up.durations = {"frozen_after_s": 1.0, "killed_after_s": 2.0, "canary_s": 0.6}
    up.start()
    up.ready()
    up.script(answers=False, counts=True, counts_after_s=0.3)
    canaries_after(up, 8)
    assert not up.events("llm-main", "down")


def test_a_stream_that_moves_is_a_sign_of_life(up) -> None:  # noqa: ANN001
    up.durations = {"frozen_after_s": 1.0, "killed_after_s": 0.5, "canary_s": 0.5}
    up.script(streams=True)
    up.start()
    up.ready()
    up.script(streams=True, answers=False)
    canaries_after(up, 8)
    assert not up.events("llm-main", "down")
    assert len(up.records("vllm", "started")) == 1
