"""How fast a server says no while it has more to do than it can."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event

from service.cli.bench.access.asking import Asking

OVERLOADED = 503
LIMITED = 429
_CLIENTS = 16
_TEXTS = 64
_WORDS = 120
_LEAST_PAUSE_S = 0.01
_STOP_S = 60.0


@contextmanager
def flood(url: str, key: str, model: str) -> Iterator[None]:
    """Clients in a process of their own that embed for as long as the block lasts, and wait when they are told to."""
    context = get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_flood, args=(url, key, model, stop), daemon=True)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(_STOP_S)
        process.kill()


def embedding(model: str, number: int) -> dict[str, object]:
    """The body of a request that is no user's who waits."""
    return {"model": model, "input": [f"{number} {text} " + "word " * _WORDS for text in range(_TEXTS)]}


def idle(asking: Asking, times: int) -> list[float]:
    """Seconds of /healthz."""
    return [asking.ask("/healthz").seconds for _ in range(times)]


def rejections(free: Asking, spent: Asking, model: str, times: int) -> dict[int, list[float]]:
    """Seconds of so many refusals by status: of a key that has room, and of one that has used up its limit."""
    took: dict[int, list[float]] = {OVERLOADED: [], LIMITED: []}
    until = time.monotonic() + _STOP_S * 5
    body = embedding(model, 0)
    while min(map(len, took.values())) < times and time.monotonic() < until:
        for asking in (free, spent):
            timed = asking.ask("/v1/embeddings", body)
            if timed.status in took:
                took[timed.status].append(timed.seconds)
    return took


def _flood(url: str, key: str, model: str, stop: Event) -> None:
    clients = [threading.Thread(target=_client, args=(Asking(url, key), model, stop)) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def _client(asking: Asking, model: str, stop: Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        timed = asking.ask("/v1/embeddings", embedding(model, number))
        if timed.retry_s:
            stop.wait(max(_LEAST_PAUSE_S, timed.retry_s))
