"""Admission: who is taken on, decided before anything is spent on them."""

import math
from dataclasses import dataclass

from service.call import Work
from service.errors import OverloadedError
from service.scheduling.job import Lane
from service.scheduling.scheduler import Scheduler

_LEAST_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What is refused, and when the device counts as stuck.

    Attributes:
        queued_tokens: most tokens that wait in one lane.
        wait_s: longest expected wait of a call that is taken on in the query lane; the bulk lane has patience.
        stall_s: a batch that is under way for longer turns readiness off.
        query_tokens: that wait in the query lane, where for a while they are to be fewer; None: as ``queued_tokens``.
        cause: of that, for messages.
    """

    queued_tokens: int
    wait_s: float = math.inf
    stall_s: float = 60.0
    query_tokens: int | None = None
    cause: str = ""

    def tokens(self, lane: Lane) -> int:
        """That may wait in a lane."""
        if lane is Lane.BULK or self.query_tokens is None:
            return self.queued_tokens
        return min(self.queued_tokens, self.query_tokens)


def admit(work: Work, scheduler: Scheduler, limits: EngineLimits, now: float) -> None:
    """Announce the tokens of ``work``; one that comes to an empty lane is taken on however large it is.

    Raises:
        OverloadedError: its lane has no room for all of it, or would take too long.
    """
    patience_s = limits.wait_s if work.lane is Lane.QUERY else math.inf
    longest_s = min(patience_s, work.deadline.remaining() if work.deadline else math.inf)
    waiting = scheduler.waiting_tokens(work.lane)
    wait_s = scheduler.expected_wait_s(work.model, work.lane, now)
    most = limits.tokens(work.lane)
    excess = waiting + work.tokens - most if waiting else 0
    if excess <= 0 and wait_s <= longest_s:
        scheduler.announce(work.lane, work.tokens)
        return
    is_tightened = 0 < excess <= limits.queued_tokens - most and wait_s <= longest_s  # else it is refused anyway
    drained_s = wait_s * min(1.0, max(0, excess) / max(1, waiting))
    raise OverloadedError(
        f"{waiting} tokens wait in the {work.lane} lane, for an expected {wait_s * 1000:.0f} ms, and about "
        f"{work.tokens} more were asked for; the limits are {most} tokens"
        + (f" and {longest_s * 1000:.0f} ms" if math.isfinite(longest_s) else "")
        + (f", as {limits.cause}" if is_tightened else ""),
        # Until the lane has drained so far that both limits are kept.
        retry_after_s=max(_LEAST_RETRY_S, drained_s, wait_s - longest_s),
    )
