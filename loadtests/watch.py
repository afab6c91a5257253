"""Watch: reads the server once a second on a thread of its own, as long as a run goes on."""

import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import httpx
import psutil

from loadtests.reading import ProcessFigures, Reading, read

EVERY_S = 1.0
_TIMEOUT_S = 5.0
_END_S = 10.0


class Watch:
    """Readings so far; a moment at which the server did not reply has what the machine tells alone.

    Args:
        url: of the metrics.
        headers: that they ask for.
        pid: of its process, where that runs on this machine.
        every_s: between two readings.
    """

    def __init__(self, url: str, headers: Mapping[str, str], pid: int | None, every_s: float = EVERY_S) -> None:
        trusted = ssl.create_default_context()  # OpenSSL's own, which knows SSL_CERT_FILE and SSL_CERT_DIR
        self._url = url
        self._http = httpx.Client(headers=dict(headers), timeout=_TIMEOUT_S, trust_env=False, verify=trusted)
        self._process = psutil.Process(pid) if pid else None
        self._every_s = every_s
        self._readings: list[Reading] = []
        self._ending = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Read from now on, and end with the block."""
        thread = threading.Thread(target=self._run, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join(_END_S)
            self._http.close()

    def first(self) -> Reading:
        """One, and no more."""
        with self._http:
            return self._read()

    def readings(self, began: float, seconds: float) -> Sequence[Reading]:
        """Those between second 0 of a run, which was ``began`` on the monotonic clock, and its end."""
        shifted = [replace(each, at_s=each.at_s - began) for each in self._readings]
        return [each for each in shifted if 0 <= each.at_s <= seconds]

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            self._readings.append(self._read())
            due = max(due + self._every_s, time.monotonic())

    def _read(self) -> Reading:
        at_s = time.monotonic()
        try:
            text = self._http.get(self._url).raise_for_status().text
        except httpx.HTTPError:
            text = ""
        return read(at_s, text, self._of_process())

    def _of_process(self) -> ProcessFigures | None:
        if self._process is None:
            return None
        try:
            return ProcessFigures.of(self._process)
        except psutil.Error:
            return None
