"""FairJobs: which of the waiting jobs is next, in turns between callers and collections."""

from service.ingest.jobs.open_job import OpenJob
from service.ingest.places import Claim, Places
from service.ingest.turns import Turn, Turns

# A few pages. More may take minutes to read and embed.
_LARGE_BYTES = 256 * 1024


class FairJobs:
    """Those of one caller for one collection in their order, but for large ones while there is no place for these.

    Args:
        total: jobs that are carried out at a time; see ``Places`` for whom they are kept.
    """

    def __init__(self, total: int) -> None:
        self._places = Places(total)
        self._waiting: Turns[OpenJob] = Turns()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job: OpenJob) -> None:
        """Wait for a turn."""
        self._waiting.put(_turn(job), job)

    def take(self, *, suspects: bool) -> OpenJob | None:
        """The next one, which has a place until ``leave``; None where there is none, or no place for those there are.

        Args:
            suspects: jobs may be taken during which a process has died.
        """
        job = self._waiting.take(
            lambda job: (suspects or not job.is_suspect) and self._places.has_room(_claim(job)), self._places.count
        )
        if job is not None:
            self._places.take(job, _claim(job))
        return job

    def leave(self, job: OpenJob) -> None:
        """One that was taken is carried out no more."""
        self._places.give_back(job)

    def remove(self, job: OpenJob) -> None:
        """It waits no more, if it did."""
        self._waiting.remove(_turn(job), job)


def _turn(job: OpenJob) -> Turn:
    return Turn(job.job.caller, job.job.collection)


def _claim(job: OpenJob) -> Claim:
    return Claim(job.job.caller, job.job.raw.size > _LARGE_BYTES)
