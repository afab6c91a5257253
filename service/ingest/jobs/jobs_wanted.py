"""JobsWanted: which jobs somebody wants to see, of those that it may."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson

from service.ingest.jobs.job import Status


@dataclass(frozen=True, slots=True)
class JobsWanted:
    """What a page of jobs is of; None leaves each out of account.

    Attributes:
        before: rows below this.
        among: names of collections.
        caller: who sent them.
    """

    before: int | None = None
    collection: str | None = None
    status: Status | None = None
    among: Collection[str] | None = None
    caller: str | None = None

    def tests(self) -> dict[str, Any]:
        """Conditions of SQL, each with its value."""
        among = None if self.among is None else orjson.dumps(sorted(self.among)).decode()
        tests = {
            "row < ?": self.before,
            "collection = ?": self.collection,
            "status = ?": self.status,
            "collection IN (SELECT value FROM json_each(?))": among,
            "caller = ?": self.caller,
        }
        return {test: value for test, value in tests.items() if value is not None}
