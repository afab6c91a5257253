"""Durations: how long the parent waits for what, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Durations:
    """No settings: what is promised of a frozen server, and of an end in order, rests on them.

    Attributes:
        look_s: between two looks at a server.
        canary_every_s: between two canaries.
        canary_s: after which an unanswered canary is given up and another one sent; likewise a reading of the counters,
            which a busy server may be slow to give.
        count_every_s: between two readings of the token counters.
        frozen_after_s: without any sign of life a server is frozen.
        killed_after_s: a server that stays frozen for so long is killed.
        serve_ready_s: longest start of ``quarry serve``.
        held_s: longest wait for bulk work to be held; more than ``quarry serve`` takes by itself.
        serve_drain_s: longest end of ``quarry serve``, its own 30 s for answers included.
        llm_drain_s: longest end of vLLM, its own 30 s included.
        left_over_s: for what an earlier parent left to end, before it is killed.
        first_pause_s: before the first restart.
        longest_pause_s: of the ever longer ones that follow.
        stable_s: a process that lived for so long is no part of a crash loop.
        trim_every_s: between two looks at the size of the log.
    """

    look_s: float = 0.25
    canary_every_s: float = 2.0
    canary_s: float = 10.0
    count_every_s: float = 1.0
    frozen_after_s: float = 5.0
    killed_after_s: float = 30.0
    serve_ready_s: float = 1800.0
    held_s: float = 40.0
    serve_drain_s: float = 40.0
    llm_drain_s: float = 40.0
    left_over_s: float = 10.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    stable_s: float = 300.0
    trim_every_s: float = 10.0
