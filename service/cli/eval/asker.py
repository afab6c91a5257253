"""Asker: requests to a server, as many at a time as it is given threads, and patient while the server is busy."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay

from service.cli.console import problem_detail
from service.cli.eval.errors import EvalError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# Told what is done how many times, it yields what is called after each; the number may be unknown.
Watch = Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]
_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
_GIVE_UP_S = 120.0
# Requests that are made ready while one is waited for, for each that may be out.
_AHEAD = 2
_LONGEST_WAIT_S = 30.0


class RefusedError(EvalError):
    """The server replied with a problem.

    Attributes:
        status: of the reply.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the server says {status}: {detail}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON body, and the seconds from the request to its last byte; waits for a busy server are not in them."""

    body: dict[str, Any]
    seconds: float


class Asker:
    """Thread-safe.

    Args:
        concurrency: requests at a time.
        watch: shows how far ``each`` is.
    """

    def __init__(self, http: httpx.Client, concurrency: int, watch: Watch) -> None:
        self.http = http
        self._concurrency = concurrency
        self._watch = watch

    def each(
        self, what: str, ask: Callable[[_Item], _Result], items: Iterable[_Item], total: int | None = None
    ) -> list[_Result]:
        """``ask`` of each, in order, on as many threads as there may be requests; items are taken as they are due."""
        results: list[_Result] = []
        waiting: deque[Future[_Result]] = deque()
        threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="quarry-eval")
        with threads, self._watch(what, total) as advance:
            for item in items:
                waiting.append(threads.submit(ask, item))
                if len(waiting) > _AHEAD * self._concurrency:
                    results.append(waiting.popleft().result())
                    advance()
            while waiting:
                results.append(waiting.popleft().result())
                advance()
        return results

    def post(self, path: str, body: dict[str, Any]) -> Reply:
        """One request, sent again for two minutes while the server is busy or wants a pause.

        Raises:
            RefusedError: it is refused.
            httpx.TransportError: the server cannot be reached.
        """
        return self._patiently(lambda: self.http.post(path, json=body))

    def get(self, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """As ``post``, of a read."""
        return self._patiently(lambda: self.http.get(path, params=params or {})).body

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """As ``post``, of a write that may be repeated."""
        return self._patiently(lambda: self.http.put(path, json=body)).body

    def _patiently(self, send: Callable[[], httpx.Response]) -> Reply:
        def timed() -> tuple[httpx.Response, float]:
            start = time.perf_counter()
            return send(), time.perf_counter() - start

        patience = Retrying(
            retry=retry_if_result(lambda done: done[0].status_code in _BUSY),
            wait=_as_asked,
            stop=stop_after_delay(_GIVE_UP_S),
            retry_error_callback=_last,
        )
        response, seconds = patience(timed)
        if not response.is_success:
            raise RefusedError(response.status_code, problem_detail(response))
        try:
            return Reply(response.json(), seconds)
        except ValueError:
            raise RefusedError(
                response.status_code, "something that is no JSON (does quarry serve run there?)"
            ) from None


def collection_path(name: str) -> str:
    """Of a collection."""
    return f"/v1/collections/{quote(name, safe='')}"


def _as_asked(state: RetryCallState) -> float:
    """Seconds of the reply's Retry-After, within bounds."""
    try:
        wanted = float(_last(state)[0].headers.get("retry-after", "1"))
    except ValueError:
        wanted = 1.0
    return min(max(wanted, 0.1), _LONGEST_WAIT_S)


def _last(state: RetryCallState) -> tuple[httpx.Response, float]:
    assert state.outcome is not None  # noqa: S101  it is called after an attempt
    done: tuple[httpx.Response, float] = state.outcome.result()
    return done
