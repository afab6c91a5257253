"""Searches at a server whose telemetry is on and off in turn."""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from service.cli.bench.access.asking import Asking
from service.cli.bench.machine import processor
from service.cli.bench.server import free_port, running
from service.cli.bench.telemetry.ratio import Ratio
from service.cli.bench.telemetry.served import OFF, ON

COST_LIMIT = 0.02
CLIENTS = 4
_DOCUMENTS = 300
_COLLECTION = "bench"
_TOP_K = 10
_OK = 200
_SCRAPED = 9  # every so many blocks with telemetry, which is every 15 s or so
_VERSIONS = ("quarry", "prometheus-client", "fastapi", "uvicorn")


def run(pairs: int, searches: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure.

    Args:
        pairs: of blocks, one with telemetry and one without, which of the two first by turns.
        searches: of a block, by a few clients that each wait for their replies; with telemetry there are scrapes too.
        say: where progress goes.
    """
    with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder, _server(Path(folder)) as server:
        say(f"writing {_DOCUMENTS} documents")
        _write(server.url)
        server.block(searches, is_on=True)  # to warm up
        say(f"{pairs} pairs of blocks of {searches} searches")
        taken = [_pair(server, searches, pair) for pair in range(pairs)]
    return _report([one for one, _ in taken], [other for _, other in taken], searches)


def _report(on: Sequence[float], off: Sequence[float], searches: int) -> dict[str, Any]:
    """Of searches a second in each block."""
    ratio = Ratio.of(on, off)
    cost = round(1 - ratio.value, 4)
    return {
        "bench": "telemetry",
        "searches": searches,
        "clients": CLIENTS,
        "throughput": {"on": round(sum(on) / len(on), 1), "off": round(sum(off) / len(off), 1)},
        "ratio": asdict(ratio),
        "cost": cost,
        "cost_limit": COST_LIMIT,
        "met": cost <= COST_LIMIT,
        "processor": processor(),
        "versions": {name: version(name) for name in _VERSIONS},
    }


class _Server:
    """The server, and its clients: each on a thread of its own."""

    def __init__(self, url: str, pid: int, threads: ThreadPoolExecutor) -> None:
        self.url = url
        self._pid = pid
        self._threads = threads
        self._numbers = itertools.count()

    def block(self, searches: int, *, is_on: bool, is_scraped: bool = False) -> float:
        """Searches a second."""
        os.kill(self._pid, ON if is_on else OFF)
        shares = [[next(self._numbers) for _ in range(searches // CLIENTS)] for _ in range(CLIENTS)]
        start = time.perf_counter()
        done = self._threads.map(partial(_search_all, self.url), shares)
        if is_scraped:
            _expect_ok(httpx.get(f"{self.url}/metrics", trust_env=False).status_code)
        count = sum(done)
        return count / (time.perf_counter() - start)


@contextmanager
def _server(folder: Path) -> Iterator[_Server]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service.cli.bench.telemetry.served", str(folder / "data"), str(port)]

    def is_up() -> None:
        httpx.get(f"{url}/readyz", trust_env=False).raise_for_status()

    with (
        running(command, folder / "served.log", is_up) as pid,
        ThreadPoolExecutor(CLIENTS, "quarry-asking") as threads,
    ):
        yield _Server(url, pid, threads)


def _write(url: str) -> None:
    with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
        for number in range(_DOCUMENTS):
            body = {"text": f"{_text(number)} It was written down."}
            client.put(f"/v1/collections/{_COLLECTION}/documents/{number}", json=body).raise_for_status()


def _pair(server: _Server, searches: int, pair: int) -> tuple[float, float]:
    """Searches a second with telemetry, and without."""
    is_scraped = pair % _SCRAPED == 0
    if pair % 2:
        one = server.block(searches, is_on=True, is_scraped=is_scraped)
        return one, server.block(searches, is_on=False)
    other = server.block(searches, is_on=False)
    return server.block(searches, is_on=True, is_scraped=is_scraped), other


def _search_all(url: str, numbers: Sequence[int]) -> int:
    """By a connection that is not kept between blocks: the server would close one that idles."""
    with closing(Asking(url)) as asker:
        for number in numbers:
            body = {"query": _text(number), "collection": _COLLECTION, "top_k": _TOP_K}
            _expect_ok(asker.ask("/v1/search", body).status)
    return len(numbers)


def _expect_ok(status: int) -> None:
    if status != _OK:
        raise RuntimeError(f"a request was answered with {status}")


def _text(number: int) -> str:
    return f"Memo {number} is about matter {number * 7919 % 1000} of the year {1900 + number % 120}."
