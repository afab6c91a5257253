"""FairQueue: the jobs of one lane, shared out by tokens over keys."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from service.scheduling.job import Job, Piece


@dataclass(slots=True)
class _Flow:
    """The jobs of one key, first come first served.

    Attributes:
        deficit: tokens the key may still take in its turn.
        has_turn: its turn began and was cut short by a full batch.
    """

    jobs: OrderedDict[Job, None] = field(default_factory=OrderedDict)
    deficit: int = 0
    has_turn: bool = False

    def begin_turn(self, quantum: int) -> None:
        if not self.has_turn:
            self.has_turn = True
            self.deficit += quantum


@dataclass(slots=True)
class _Filling:
    """A batch under construction; the first job decides whose forward it is."""

    budget_of: Callable[[str], int]
    now: float
    pieces: list[Piece] = field(default_factory=list)
    model: str | None = None
    room: int = 0
    is_full: bool = False

    def admits(self, job: Job) -> bool:
        if self.model is None:
            self.model, self.room = job.model, self.budget_of(job.model)
        return job.model == self.model


class FairQueue:
    """Deficit round-robin (Shreedhar and Varghese, 1995) over keys, in tokens instead of bytes.

    While two keys have work waiting, the tokens handed out to each differ by no more than two quanta and two of the
    longest inputs, however many jobs each has.

    Args:
        quantum: tokens added to a key's share in each round.
    """

    def __init__(self, quantum: int) -> None:
        self._quantum = quantum
        self._flows: OrderedDict[str, _Flow] = OrderedDict()
        self.tokens: Counter[str] = Counter()
        self.expired: list[Job] = []

    def __bool__(self) -> bool:
        return bool(self._flows)

    def push(self, job: Job) -> None:
        """Queue a job behind the others of its key."""
        self._flows.setdefault(job.key, _Flow()).jobs[job] = None
        self.tokens[job.model] += job.waiting_tokens

    def remove(self, job: Job) -> None:
        """Forget a job; without effect where it no longer waits."""
        flow = self._flows.get(job.key)
        if flow is None or job not in flow.jobs:
            return
        del flow.jobs[job]
        self.tokens[job.model] -= job.waiting_tokens
        if not flow.jobs:
            del self._flows[job.key]

    def jobs(self) -> list[Job]:
        """Every job that waits."""
        return [job for flow in self._flows.values() for job in flow.jobs]

    def take(self, budget_of: Callable[[str], int], now: float) -> tuple[list[Piece], bool]:
        """Pieces for one forward, and whether more would not have fitted.

        Jobs past their deadline are dropped into ``expired``. An input longer than the whole budget is taken alone.

        Args:
            budget_of: most tokens of one forward of a model.
            now: seconds, in the clock of the jobs' deadlines.
        """
        filling, served = _Filling(budget_of, now), True
        while served and not filling.is_full:
            served = False
            for key in list(self._flows):
                served |= self._serve(key, filling)
                if filling.is_full:
                    break
        return filling.pieces, filling.is_full

    def _serve(self, key: str, filling: _Filling) -> bool:
        """Give a key its turn; whether it had one. A key whose next job is another model's keeps its place."""
        flow = self._flows[key]
        job = self._head(key, flow, filling.now)
        if job is None or not filling.admits(job):
            return False
        flow.begin_turn(self._quantum)
        while job is not None and filling.admits(job):
            if not self._cut(job, flow, filling):
                break
            job = self._head(key, flow, filling.now)
        if key in self._flows and not filling.is_full:
            flow.has_turn = False
            self._flows.move_to_end(key)
        return True

    def _head(self, key: str, flow: _Flow, now: float) -> Job | None:
        """The key's next job that is still in time."""
        while flow.jobs:
            job = next(iter(flow.jobs))
            if job.deadline > now:
                return job
            self.remove(job)
            job.is_dead = True
            self.expired.append(job)
        return None

    def _cut(self, job: Job, flow: _Flow, filling: _Filling) -> bool:
        """Move inputs from a job into the batch; whether all of them fitted."""
        first, lengths = job.taken, job.lengths
        while job.taken < len(lengths):
            tokens = lengths[job.taken]
            if tokens > flow.deficit:
                break
            if tokens > filling.room and (filling.pieces or job.taken > first):
                filling.is_full = True
                break
            flow.deficit -= tokens
            filling.room -= tokens
            job.waiting_tokens -= tokens
            self.tokens[job.model] -= tokens
            job.taken += 1
        if job.taken > first:
            filling.pieces.append(Piece(job, first, job.taken))
        is_done = job.taken == len(lengths)
        if is_done:
            self.remove(job)
        return is_done
