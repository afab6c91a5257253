"""Uploader: sends files and lines to a server, tries again while it is busy, and keeps the tally."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_exponential

from service.cli.console import printable, problem_code, problem_detail
from service.cli.given_metadata import NOTHING, GivenMetadata
from service.cli.sources import BatchSource, FileSource, Line

_GIVE_UP_S = 120.0
# So that what is known of a job is heard of now and then.
_WAIT_MS = 10_000
_SKIPPED = "skipped"
_RETRYABLE = {"overloaded", "embedder_unavailable", "vector_store_unavailable", "parser_unavailable"}


@dataclass(slots=True)
class Tally:
    """Documents by outcome, which were empty, and what went wrong with those that failed. Thread-safe."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str) -> None:
        """Count a document."""
        with self._lock:
            self.outcomes[outcome] += 1

    def skip(self, where: str) -> None:
        """Count a document without text."""
        with self._lock:
            self.outcomes[_SKIPPED] += 1
            self.empty.append(printable(where))

    def fail(self, where: str, why: str) -> None:
        """Count a document that failed."""
        with self._lock:
            self.outcomes["failed"] += 1
            self.failures.append(f"{printable(where)}: {why}")


class Uploader:
    """Puts sources into one collection; every document ends in the tally exactly once.

    Args:
        common: metadata that every document is given.
        heard: called with a file's path and its job as the server tells it, as often as it does; with None at its end.
    """

    def __init__(
        self,
        http: httpx.Client,
        collection: str,
        common: GivenMetadata = NOTHING,
        heard: Callable[[str, dict[str, Any] | None], None] = lambda *_: None,
    ) -> None:
        self._http = http
        self._heard = heard
        self._common = common
        self._documents = f"/v1/collections/{quote(collection, safe='')}/documents"
        self.tally = Tally()

    def send(self, source: FileSource | BatchSource) -> None:
        """Send a source, waiting as long as the server asks to, two minutes at most.

        Raises:
            httpx.TransportError: the server cannot be reached.
        """
        if isinstance(source, FileSource):
            self._send_file(source)
        else:
            self._send_batch(source)

    def _send_file(self, source: FileSource) -> None:
        try:
            url = f"{self._documents}/{quote(source.id, safe='')}"
        except UnicodeEncodeError:
            self.tally.fail(str(source.path), "its name is not UTF-8")
            return
        try:
            response = _patiently(lambda: self._put(url, source.path))
        except OSError as error:
            self.tally.fail(str(source.path), str(error.strerror))
            return
        if response.status_code == httpx.codes.ACCEPTED:
            self._follow(str(source.path), response.json()["job_id"])
        elif response.is_success:
            self.tally.add(response.json()["status"])
        elif problem_code(response) == "empty_document":
            self.tally.skip(str(source.path))
        else:
            self.tally.fail(str(source.path), problem_detail(response))

    def _put(self, url: str, path: Path) -> httpx.Response:
        with path.open("rb") as file:
            sent = {"file": (path.name, file)}
            return self._http.put(url, files=sent, data=self._common.of_file(), params={"wait_ms": _WAIT_MS})

    def _follow(self, where: str, job_id: str) -> None:
        """Wait for the end of a job, however long that takes: the server has the file, and works on it."""
        try:
            job = self._ended(where, job_id)
        finally:
            self._heard(where, None)
        if job is not None:
            self._note(where, job_id, job)

    def _ended(self, where: str, job_id: str) -> dict[str, Any] | None:
        """The job, when it has ended; None where the server tells nothing of it any more."""
        job: dict[str, Any] = {"id": job_id, "status": "queued"}
        while job["status"] in {"queued", "running"}:
            self._heard(where, job)
            response = _patiently(lambda: self._http.get(f"/v1/jobs/{job_id}", params={"wait_ms": _WAIT_MS}))
            if not response.is_success:
                self.tally.fail(where, problem_detail(response))
                return None
            job = response.json()
        return job

    def _note(self, where: str, job_id: str, job: dict[str, Any]) -> None:
        """What became of the document of a job that has ended."""
        if job["status"] == "succeeded":
            (outcome,) = job["outcomes"]
            if outcome == _SKIPPED:
                self.tally.skip(where)
            else:
                self.tally.add(outcome)
            return
        error = next(iter(job["errors"]), {"message": f"job {job_id} was {job['status']}"})
        self.tally.fail(where, error["message"])

    def _send_batch(self, source: BatchSource) -> None:
        """Lines that met a busy server are sent again, those that failed for good are not."""
        waiting = list(source.lines)

        def attempt() -> list[Line]:
            nonlocal waiting
            waiting = self._send_lines(source, waiting)
            return waiting

        try:
            _patience(retry_if_result(bool))(attempt)
        except RetryError:
            for line in waiting:
                self.tally.fail(f"{source.path}:{line.number}", f"the server was busy for {_GIVE_UP_S:g} s")

    def _send_lines(self, source: BatchSource, lines: list[Line]) -> list[Line]:
        """Send lines once; those to send again."""
        body = b"\n".join(self._common.of_line(line.data) for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        response = _patiently(lambda: self._http.post(f"{self._documents}:batch", content=body, headers=headers))
        if not response.is_success:
            for line in lines:
                self.tally.fail(f"{source.path}:{line.number}", problem_detail(response))
            return []
        replies = [orjson.loads(reply) for reply in response.content.splitlines()]
        return [line for line, reply in zip(lines, replies, strict=True) if not self._settled(source, line, reply)]

    def _settled(self, source: BatchSource, line: Line, reply: dict[str, Any]) -> bool:
        match reply["status"], reply["error"]:
            case "error", {"code": code} if code in _RETRYABLE:
                return False
            case "error", {"message": message}:
                self.tally.fail(f"{source.path}:{line.number}", message)
            case "skipped", _:
                self.tally.skip(f"{source.path}:{line.number}")
            case status, _:
                self.tally.add(status)
        return True


class _BusyError(Exception):
    """A 503, with the response, so that the last one can be reported."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response


def _patiently(send: Callable[[], httpx.Response]) -> httpx.Response:
    """The first reply that is not a 503, or the last 503."""

    def attempt() -> httpx.Response:
        response = send()
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise _BusyError(response)
        return response

    try:
        return _patience(retry_if_exception_type(_BusyError), reraise=True)(attempt)
    except _BusyError as error:
        return error.response


def _patience(retry: Any, *, reraise: bool = False) -> Retrying:  # noqa: ANN401  tenacity's retry types share no base
    return Retrying(retry=retry, stop=stop_after_delay(_GIVE_UP_S), wait=wait_exponential(0.2, max=5), reraise=reraise)
