"""Locust users of an open loop: one user of a kind sends all that arrives, however many replies are still to come.

python -m locust -f loadtests/open_loop/locustfile.py --headless --users 1 --plan plan.json Mix

`python -m loadtests` writes the plan and runs this. A server that asks for a key is given that of QUARRY_KEY.
"""

import logging
import os
from pathlib import Path
from typing import ClassVar

from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.exception import StopUser

from loadtests.open_loop.offering import Offering
from loadtests.open_loop.outgoing import Desk
from loadtests.plan import KEY_VARIABLE, Material, Plan
from loadtests.sample import Outcome, Sample

_NOT_OFFERED = 3
_log = logging.getLogger(__name__)


class RequestFailedError(Exception):
    """What a failed sample is in Locust's tables."""


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--plan", type=Path, required=True, help="What to offer, as loadtests.plan writes it")


class OpenLoop(User):
    """Offers a plan once, and ends Locust."""

    abstract = True
    mix: ClassVar[str]

    @task
    def offer(self) -> None:
        """All arrivals of the plan, once; the exit code says if that was not so."""
        try:
            self._offer()
        except Exception:  # the edge of a task: Locust would begin it again, for ever
            _log.exception("the plan was not offered")
            self.environment.process_exit_code = _NOT_OFFERED
        self.environment.runner.quit()
        raise StopUser

    def _offer(self) -> None:
        plan = Plan.read(self.environment.parsed_options.plan)
        if plan.mix != self.mix:
            raise ValueError(f"the plan is of {plan.mix!r}, and this user of {self.mix!r}")
        material = Material.model_validate_json(plan.material.read_bytes())
        key = os.environ.get(KEY_VARIABLE, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        Offering(plan, Desk(plan, material), headers, self._tell).run()

    def _tell(self, sample: Sample) -> None:
        """Locust's tables: an entry of each route, and what streams have in common."""
        if sample.outcome is Outcome.MISSED or sample.total_ms is None:
            self._entry("missed", sample.route, 0.0, None)
            return
        if sample.outcome is Outcome.SHED:
            self._entry("shed", sample.route, sample.total_ms, None)
            return
        failure = RequestFailedError(f"{sample.outcome} {sample.status}") if sample.outcome.is_failure else None
        self._entry("rag" if sample.route.is_streamed else "http", sample.route, sample.total_ms, failure)
        if sample.route.is_streamed:
            if sample.ttft_ms is not None:
                self._entry("rag", "ttft", sample.ttft_ms, None)
            for gap in sample.itl_ms:
                self._entry("rag", "itl", gap, None)
            self._entry("rag", "e2e", sample.total_ms, failure)

    def _entry(self, kind: str, name: str, milliseconds: float, failure: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=milliseconds,
            response_length=0,
            exception=failure,
            context={},
        )


class Search(OpenLoop):
    """POST /v1/search."""

    mix = "search"


class Query(OpenLoop):
    """POST /v1/query, the answer as JSON."""

    mix = "query"


class Stream(OpenLoop):
    """POST /v1/query, the answer as server-sent events."""

    mix = "stream"


class Chat(OpenLoop):
    """POST /v1/chat/completions, streamed."""

    mix = "chat"


class Ingest(OpenLoop):
    """PUT of documents."""

    mix = "ingest"


class Mix(OpenLoop):
    """All of them, by weights."""

    mix = "mix"
