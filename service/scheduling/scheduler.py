"""Scheduler: two lanes, one device, and the rules of who goes next.

Its owner gives it the time, asks it for batches whenever the device could take one, and tells it how each one ended.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.scheduling.capacity import Capacity
from service.scheduling.fair_queue import FairQueue
from service.scheduling.job import Batch, Job, Lane, Piece, Reason


@dataclass(frozen=True, slots=True)
class Policy:
    """How the device is shared.

    Attributes:
        depth: batches in flight at a time; at most one of them is bulk.
        ageing_s: bulk work that has waited this long goes before queries.
        quantum: tokens a key may take in its turn.
    """

    depth: int = 1
    ageing_s: float = 0.5
    quantum: int = 512


@dataclass(slots=True)
class _Waiting:
    """One lane: what waits, what is to be computed again, and what callers have announced but not yet tokenized."""

    queue: FairQueue
    retries: deque[Batch] = field(default_factory=deque)
    announced_tokens: int = 0

    def __bool__(self) -> bool:
        return bool(self.retries) or bool(self.queue)


class Scheduler:
    """Packs waiting jobs into batches. Not thread-safe: its owner holds a lock.

    Args:
        capacities: by the name of the model.
    """

    def __init__(self, policy: Policy, capacities: Mapping[str, Capacity]) -> None:
        self._policy = policy
        self._capacities = capacities
        self._lanes = {lane: _Waiting(FairQueue(policy.quantum)) for lane in Lane}
        self._bulk_since = 0.0
        self.in_flight: list[Batch] = []

    # What comes in

    def announce(self, lane: Lane, tokens: int) -> None:
        """Hold ``tokens`` for a call that is about to be tokenized; ``withdraw`` them when it is, or never will be."""
        self._lanes[lane].announced_tokens += tokens

    def withdraw(self, lane: Lane, tokens: int) -> None:
        """Give back announced tokens."""
        self._lanes[lane].announced_tokens -= tokens

    def submit(self, job: Job, now: float) -> None:
        """Queue a job."""
        if job.lane is Lane.BULK and not self._lanes[Lane.BULK]:
            self._bulk_since = now
        self._lanes[job.lane].queue.push(job)

    def cancel(self, job: Job) -> int:
        """Hand out nothing more of a job.

        Returns:
            Its tokens that no forward will compute.
        """
        if job.is_dead:
            return 0
        job.is_dead = True
        self._lanes[job.lane].queue.remove(job)
        return job.waiting_tokens

    # What goes out

    def take(self, now: float) -> Batch | None:
        """The next batch to launch, or None where nothing waits or the device has enough."""
        for lane, reason in self._order(now):
            batch = self._from(lane, reason, now)
            if batch:
                batch.launched_at = now
                self.in_flight.append(batch)
                if lane is Lane.BULK:
                    self._bulk_since = now
                return batch
        return None

    def done(self, batch: Batch, tokens: int, seconds: float) -> None:
        """A batch ended well.

        Args:
            tokens: computed, padding counted.
            seconds: for which the device was busy with it.
        """
        self.in_flight.remove(batch)
        self._capacities[batch.model].observe(tokens, seconds)

    def failed(self, batch: Batch) -> None:
        """A batch ended badly; its owner answers its jobs."""
        self.in_flight.remove(batch)

    def out_of_memory(self, batch: Batch) -> list[Piece]:
        """A batch did not fit into memory: its halves go first in its lane, and the budget is lowered.

        Returns:
            The one input that does not fit even alone, for its owner to fail; empty where there are halves.
        """
        self.in_flight.remove(batch)
        self._capacities[batch.model].shrink(batch.tokens // 2)
        if batch.size == 1:
            return list(batch.pieces)
        halves = [Batch(batch.model, batch.lane, pieces, Reason.RETRY) for pieces in _halves(batch)]
        self._lanes[batch.lane].retries.extendleft(reversed(halves))
        return []

    def drop_all(self) -> list[Job]:
        """Every job that waits, taken out: for a device that computes no more."""
        jobs: dict[Job, None] = {}
        for waiting in self._lanes.values():
            for batch in waiting.retries:
                jobs.update(dict.fromkeys(piece.job for piece in batch.pieces))
            waiting.retries.clear()
            jobs.update(dict.fromkeys(waiting.queue.jobs()))
        for job in jobs:
            self.cancel(job)
        return list(jobs)

    def pop_expired(self) -> list[Job]:
        """Jobs that were dropped at their deadline since the last call."""
        expired = [job for waiting in self._lanes.values() for job in waiting.queue.expired]
        for waiting in self._lanes.values():
            waiting.queue.expired.clear()
        return expired

    # What is known of the queue

    def waiting_tokens(self, lane: Lane) -> int:
        """Tokens in a lane, announced ones and halves of batches included."""
        waiting = self._lanes[lane]
        retried = sum(batch.tokens for batch in waiting.retries)
        return waiting.queue.tokens.total() + waiting.announced_tokens + retried

    def expected_wait_s(self, model: str, lane: Lane, now: float) -> float:
        """Time until a job that comes now would be launched, by the fitted models.

        The query lane waits for what is in flight and for itself; the bulk lane for both lanes.
        """
        ahead = [self._lanes[Lane.QUERY]] if lane is Lane.QUERY else list(self._lanes.values())
        seconds = sum(self._remaining_s(batch, now) for batch in self.in_flight)
        for waiting in ahead:
            seconds += self._capacities[model].seconds(waiting.announced_tokens)
            seconds += sum(self._capacities[batch.model].seconds(batch.tokens) for batch in waiting.retries)
            seconds += sum(self._capacities[name].seconds(tokens) for name, tokens in waiting.queue.tokens.items())
        return seconds

    def _remaining_s(self, batch: Batch, now: float) -> float:
        return max(0.0, batch.launched_at + self._capacities[batch.model].cost.seconds(batch.tokens) - now)

    # The rules

    def _order(self, now: float) -> list[tuple[Lane, Reason]]:
        """Lanes that may go next, in order, with the reason of a batch that is not full."""
        if len(self.in_flight) >= self._policy.depth:
            return []
        query, bulk = (Lane.QUERY, Reason.DRAINED), (Lane.BULK, Reason.DRAINED)
        if not self._lanes[Lane.BULK] or any(batch.lane is Lane.BULK for batch in self.in_flight):
            return [query]
        if now - self._bulk_since >= self._policy.ageing_s:
            return [(Lane.BULK, Reason.AGED if self._lanes[Lane.QUERY] else Reason.DRAINED), query]
        return [query, bulk]

    def _from(self, lane: Lane, reason: Reason, now: float) -> Batch | None:
        waiting = self._lanes[lane]
        while waiting.retries:
            halved = waiting.retries.popleft()
            pieces = [piece for piece in halved.pieces if not piece.job.is_dead and piece.job.deadline > now]
            self._expire(halved, now)
            if pieces:
                return Batch(halved.model, lane, pieces, Reason.RETRY)
        pieces, is_full = waiting.queue.take(lambda model: self._budget(model, lane), now)
        if not pieces:
            return None
        return Batch(pieces[0].job.model, lane, pieces, Reason.FULL if is_full and reason is Reason.DRAINED else reason)

    def _expire(self, batch: Batch, now: float) -> None:
        """Drop jobs of a half that came too late."""
        late = {piece.job for piece in batch.pieces if not piece.job.is_dead and piece.job.deadline <= now}
        for job in late:
            self.cancel(job)
        self._lanes[batch.lane].queue.expired.extend(late)

    def _budget(self, model: str, lane: Lane) -> int:
        capacity = self._capacities[model]
        return capacity.tokens if lane is Lane.QUERY else capacity.bulk_tokens


def _halves(batch: Batch) -> tuple[list[Piece], list[Piece]]:
    """The inputs of a batch in two parts, neither empty, of about equal tokens."""
    rows = [Piece(piece.job, row, row + 1) for piece in batch.pieces for row in range(piece.first, piece.last)]
    tokens, middle = rows[0].tokens, 1
    while middle < len(rows) - 1 and 2 * (tokens + rows[middle].tokens) <= batch.tokens:
        tokens += rows[middle].tokens
        middle += 1
    return rows[:middle], rows[middle:]
