"""Ten thousand random schedules against what the scheduler promises."""

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations

import pytest

from service.scheduling.capacity import Capacity, CostModel
from service.scheduling.job import Batch, Job, Lane, Piece, Reason
from service.scheduling.scheduler import Policy, Scheduler

SCHEDULES = 10_000
PARTS = 20
LONGEST = 40
FIXED_S, PER_TOKEN_S = 0.002, 0.0001
Row = tuple[Job, int]


class Simulation:
    """A device with a clock of its own, random callers, and an account of every row.

    Attributes:
        endings: how each row ended, appended to once if all is well.
        longest_s: the longest batch so far.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        pick = self.random
        self.models = ["small", "large"][: pick.choice((1, 1, 2))]
        self.policy = Policy(depth=pick.choice((1, 2)), ageing_s=pick.uniform(0.005, 0.1), quantum=pick.choice((8, 40)))
        self.memory = pick.choice((20, 60, math.inf))
        self.failure_rate = pick.choice((0.0, 0.1))
        self.capacities = {
            name: Capacity(
                pick.choice((16, 64, 200)), CostModel([(10, 0.003), (100, 0.012)]), pick.uniform(0.002, 0.02)
            )
            for name in self.models
        }
        self.scheduler = Scheduler(self.policy, self.capacities)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.jobs: list[Job] = []
        self.endings: defaultdict[Row, list[str]] = defaultdict(list)
        self.retried: dict[frozenset[Row], int] = {}
        self.longest_s = 0.0
        self.bulk_since: float | None = None
        self.bulk_gap_s = 0.0
        self.served: Counter[tuple[Lane, str]] = Counter()
        self.spread: dict[tuple[Lane, str, str], tuple[int, int]] = {}

    def run(self) -> None:
        """Let callers come and go until every row has ended."""
        for _ in range(self.random.randint(2, 25)):
            self.at(self.random.uniform(0, 0.1), self.arrive)
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            event()
            self.fill_the_device()

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, self.random.getrandbits(60), event))

    # What callers do

    def arrive(self) -> None:
        pick = self.random
        job = Job(
            model=pick.choice(self.models),
            lane=pick.choice(tuple(Lane)),
            key=pick.choice("abc"),
            lengths=[pick.randint(0, LONGEST) for _ in range(pick.randint(1, 8))],
            deadline=self.now + pick.uniform(0.01, 0.2) if pick.random() < 0.2 else math.inf,
        )
        if job.lane is Lane.BULK and not self.occupied(Lane.BULK):
            self.bulk_since = self.now
        self.jobs.append(job)
        self.scheduler.submit(job, self.now)
        if pick.random() < 0.2:
            self.at(self.now + pick.uniform(0, 0.05), lambda: self.leave(job))
        if job.deadline < math.inf:
            self.at(job.deadline, lambda: None)  # the device looks at its queue again

    def leave(self, job: Job) -> None:
        before = self.scheduler.waiting_tokens(job.lane)
        freed = self.scheduler.cancel(job)
        assert before - self.scheduler.waiting_tokens(job.lane) in {0, freed}
        assert self.scheduler.cancel(job) == 0, "a job is cancelled once"
        if job.key not in self.backlogged(job.lane):  # its share starts anew
            self.spread = {pair: ahead for pair, ahead in self.spread.items() if job.key not in pair}

    # What the device does

    def fill_the_device(self) -> None:
        while True:
            limits = {name: (each.tokens, each.bulk_tokens) for name, each in self.capacities.items()}
            was_waiting = {lane: self.backlogged(lane) for lane in Lane}
            batch = self.scheduler.take(self.now)
            for job in self.scheduler.pop_expired():
                assert job.deadline <= self.now
            if batch is None:
                break
            self.check_launch(batch, limits[batch.model], was_waiting)
            seconds = (FIXED_S + PER_TOKEN_S * batch.tokens) * self.random.uniform(0.5, 3)
            self.longest_s = max(self.longest_s, seconds)
            self.at(self.now + seconds, lambda batch=batch, seconds=seconds: self.land(batch, seconds))  # type: ignore[misc]
        if not self.scheduler.in_flight:
            assert not any(self.waits(lane) for lane in Lane), "the device is idle while somebody waits"

    def land(self, batch: Batch, seconds: float) -> None:
        if batch.tokens > self.memory:
            unfit = self.scheduler.out_of_memory(batch)
            assert bool(unfit) == (batch.size == 1)
            self.end(unfit, "unfit")
            if not unfit:
                self.retried[frozenset(rows_of(batch.pieces))] = batch.tokens
        elif self.random.random() < self.failure_rate:
            self.scheduler.failed(batch)
            self.end(batch.pieces, "failed")
            for piece in batch.pieces:
                self.scheduler.cancel(piece.job)
        else:
            self.scheduler.done(batch, batch.tokens, seconds)
            self.end(batch.pieces, "computed")

    def end(self, pieces: list[Piece], how: str) -> None:
        for row in rows_of(pieces):
            self.endings[row].append(how)

    # What is promised

    def check_launch(self, batch: Batch, limits: tuple[int, int], was_waiting: dict[Lane, set[str]]) -> None:
        flying = self.scheduler.in_flight
        assert len(flying) <= self.policy.depth
        assert sum(each.lane is Lane.BULK for each in flying) <= 1, "two bulk batches in flight"
        assert {piece.job.model for piece in batch.pieces} == {batch.model}
        assert {piece.job.lane for piece in batch.pieces} == {batch.lane}
        assert not any(piece.job.is_dead for piece in batch.pieces)
        if batch.reason is Reason.RETRY:
            whole = next(tokens for rows, tokens in self.retried.items() if rows.issuperset(rows_of(batch.pieces)))
            assert batch.tokens <= whole
        else:
            assert batch.tokens <= limits[batch.lane is Lane.BULK] or batch.size == 1
            assert all(piece.job.deadline > self.now for piece in batch.pieces)
        self.check_age(batch, was_waiting)
        if len(self.models) == 1 and batch.reason is not Reason.RETRY:
            self.check_shares(batch, was_waiting[batch.lane])

    def check_age(self, batch: Batch, was_waiting: dict[Lane, set[str]]) -> None:
        if batch.lane is not Lane.BULK:
            return
        assert self.bulk_since is not None
        waited = self.now - self.bulk_since
        if was_waiting[Lane.QUERY]:
            assert waited >= self.policy.ageing_s, "bulk work overtook a query before its time"
        self.bulk_gap_s = max(self.bulk_gap_s, waited)
        assert waited <= max(self.policy.ageing_s, self.longest_s) + self.longest_s, "bulk work starved"
        self.bulk_since = self.now

    def check_shares(self, batch: Batch, before: set[str]) -> None:
        """Of two keys that both had work waiting all the time, neither got much more than the other."""
        for piece in batch.pieces:
            self.served[batch.lane, piece.job.key] += piece.tokens
        after = self.backlogged(batch.lane)
        for one, other in combinations("abc", 2):
            pair = (batch.lane, one, other)
            if not {one, other} <= before & after:
                self.spread.pop(pair, None)
                continue
            ahead = self.served[batch.lane, one] - self.served[batch.lane, other]
            low, high = self.spread.get(pair, (ahead, ahead))
            low, high = self.spread[pair] = min(low, ahead), max(high, ahead)
            assert high - low <= 2 * self.policy.quantum + 2 * LONGEST, f"{one} and {other} were not served alike"

    def backlogged(self, lane: Lane) -> set[str]:
        """Keys with work in a lane that could go now."""
        alive = (job for job in self.jobs if job.lane is lane and not job.is_dead and job.deadline > self.now)
        return {job.key for job in alive if job.taken < len(job.lengths)}

    def occupied(self, lane: Lane) -> bool:
        """Something is queued, be it past its deadline."""
        queued = (job for job in self.jobs if job.lane is lane and not job.is_dead)
        return any(job.taken < len(job.lengths) for job in queued) or bool(self.scheduler._lanes[lane].retries)

    def waits(self, lane: Lane) -> bool:
        return bool(self.backlogged(lane)) or bool(self.scheduler._lanes[lane].retries)


def rows_of(pieces: list[Piece]) -> list[Row]:
    return [(piece.job, row) for piece in pieces for row in range(piece.first, piece.last)]


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_schedules(part: int) -> None:
    endings: Counter[str] = Counter()
    for seed in range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS):
        simulation = Simulation(seed)
        try:
            simulation.run()
            for job in simulation.jobs:
                for row in range(len(job.lengths)):
                    ended = simulation.endings.get((job, row), [])
                    assert len(ended) == 1 or (not ended and job.is_dead), f"row {row} of {job} ended {ended}"
            assert all(simulation.scheduler.waiting_tokens(lane) == 0 for lane in Lane), "tokens of nobody"
            assert simulation.scheduler.in_flight == []
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        endings.update(how for ended in simulation.endings.values() for how in ended)
    print(dict(endings))  # noqa: T201  shows that every kind of ending occurs
    assert set(endings) == {"computed", "failed", "unfit"}
