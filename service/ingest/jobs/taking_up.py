"""The jobs of an earlier process get their places in the order of writes back."""

import logging
from collections.abc import Sequence

from indexes.errors import IndexesError, StoreUnavailableError
from service.ingest.jobs.board import JobBoard
from service.ingest.jobs.job import Job
from service.ingest.jobs.open_job import OpenJob
from service.ingest.mirror import Mirror

_log = logging.getLogger("quarry.jobs")


def take_up(board: JobBoard, mirror: Mirror, jobs: Sequence[Job]) -> None:
    """Put them on the board, before any write is accepted.

    Args:
        jobs: in the order of their places.
    """
    for job in jobs:
        try:
            mirror.hold_back(job.collection, job.identity, job.seq)
        except IndexesError as error:
            _log.warning("job %s: %s", job.id, error)
    for job in jobs:
        try:
            board.take_up(job, mirror.accept_again(job.collection, job.identity, job.seq))
        except StoreUnavailableError:  # damaged: the job waits for a start after the repair
            board.take_up(job, None)
    if jobs:
        _log.info("jobs taken up", extra={"jobs": len(jobs)})


def has_its_collection(mirror: Mirror, job: OpenJob) -> bool:
    """Whether the collection that a job was accepted for is still there, under its name."""
    try:
        route = mirror.route(job.job.collection)
    except IndexesError:
        return False
    return job.place is not None and job.place.collection in route.collections
