"""Whose texts come next within a lane."""

import math

from service.scheduling.fair_queue import FairQueue
from service.scheduling.job import Job, Lane


def job(key: str, *lengths: int, model: str = "m", deadline: float = math.inf) -> Job:
    return Job(model, Lane.QUERY, key, lengths, deadline)


def queue_of(*jobs: Job, quantum: int = 10) -> FairQueue:
    queue = FairQueue(quantum)
    for each in jobs:
        queue.push(each)
    return queue


def taken(queue: FairQueue, budget: int, now: float = 0.0) -> list[tuple[str, int]]:
    """(key, tokens) of each piece of the next batch."""
    pieces, _ = queue.take(lambda model: budget, now)
    return [(piece.job.key, piece.tokens) for piece in pieces]


def test_a_key_with_many_jobs_gets_no_more_than_one_with_few() -> None:
    queue = queue_of(*(job("greedy", 10) for _ in range(20)), job("modest", 10), job("modest", 10))
    assert taken(queue, 40) == [("greedy", 10), ("modest", 10), ("greedy", 10), ("modest", 10)]


def test_first_come_first_served_inside_a_key() -> None:
    urgent = job("a", 3, deadline=1.0)
    queue = queue_of(job("a", 5), urgent, job("a", 4))
    assert taken(queue, 8) == [("a", 5), ("a", 3)]


def test_a_long_job_is_handed_out_in_pieces() -> None:
    long = job("a", 6, 6, 6)
    queue = queue_of(long, quantum=100)
    assert taken(queue, 12) == [("a", 12)]
    assert (long.taken, long.waiting_tokens, queue.tokens["m"]) == (2, 6, 6)
    assert taken(queue, 12) == [("a", 6)]
    assert not queue


def test_a_turn_cut_short_by_a_full_batch_goes_on_in_the_next() -> None:
    queue = queue_of(job("a", 5, 5, 5), job("b", 5, 5, 5), quantum=10)
    assert taken(queue, 5) == [("a", 5)]
    assert taken(queue, 15) == [("a", 5), ("b", 10)]


def test_an_input_longer_than_the_budget_and_the_quantum_goes_alone() -> None:
    queue = queue_of(job("a", 500), job("b", 1))
    assert taken(queue, 20) == [("b", 1)]
    assert taken(queue, 20) == [("a", 500)]


def test_a_batch_has_one_model_and_the_other_does_not_wait_for_ever() -> None:
    queue = queue_of(*(job("a", 5, model="x") for _ in range(4)), *(job("b", 5, model="y") for _ in range(2)))
    assert [taken(queue, 10) for _ in range(3)] == [[("a", 5), ("a", 5)], [("b", 5), ("b", 5)], [("a", 5), ("a", 5)]]


def test_a_job_past_its_deadline_is_dropped_whole() -> None:
    late = job("a", 5, 5, deadline=2.0)
    queue = queue_of(late, job("a", 3))
    assert taken(queue, 100, now=2.0) == [("a", 3)]
    assert queue.expired == [late]
    assert late.is_dead
    assert queue.tokens["m"] == 0


def test_a_removed_job_leaves_no_trace() -> None:
    gone = job("a", 5)
    queue = queue_of(gone)
    queue.remove(gone)
    queue.remove(gone)
    assert not queue
    assert queue.tokens["m"] == 0
    assert taken(queue, 100) == []
