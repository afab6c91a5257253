"""FairJobs: which of the waiting jobs is next, in turns between callers and collections."""

from collections import OrderedDict, deque

from service.ingest.jobs.open_job import OpenJob

Turn = tuple[str, str]


class FairJobs:
    """Those of one caller for one collection in their order; of several, one each in turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Turn, deque[OpenJob]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, job: OpenJob) -> None:
        """Wait for a turn."""
        self._waiting.setdefault(_turn(job), deque()).append(job)

    def take(self, *, suspects: bool) -> OpenJob | None:
        """The next one; None where there is none.

        Args:
            suspects: jobs may be taken during which a process has died.
        """
        for turn, jobs in self._waiting.items():
            job = next((job for job in jobs if suspects or not job.is_suspect), None)
            if job is not None:
                self._waiting.move_to_end(turn)
                self.remove(job)
                return job
        return None

    def remove(self, job: OpenJob) -> None:
        """It waits no more, if it did."""
        jobs = self._waiting.get(_turn(job), deque())
        if job in jobs:
            jobs.remove(job)
        if not jobs:
            self._waiting.pop(_turn(job), None)


def _turn(job: OpenJob) -> Turn:
    return job.job.caller, job.job.collection
