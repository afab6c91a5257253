"""The index of a collection that a server serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from service.cli.console import checked, served


class ServedIndex:
    """A thin client of the routes that an operator calls."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self._http = http
        self._path = f"/v1/collections/{quote(name, safe='')}"

    def stats(self) -> dict[str, Any]:
        """GET /v1/collections/{c}."""
        reply: dict[str, Any] = checked(self._http.get(self._path)).json()
        return reply

    def rebuild(self) -> dict[str, Any]:
        """POST :rebuild."""
        return self._post("rebuild")

    def verify(self) -> dict[str, Any]:
        """POST :verify."""
        return self._post("verify")

    def calibrate(self) -> dict[str, Any]:
        """POST :calibrate."""
        return self._post("calibrate")

    def purge(self, ids: list[str], filters: dict[str, Any] | None) -> dict[str, Any]:
        """POST :purge."""
        return self._post("purge", {"ids": ids, "filters": filters})

    def working_on(self) -> dict[str, Any] | None:
        """What is being done now, and how far it is; None where the server does not say."""
        response = self._http.get(self._path)
        work: dict[str, Any] | None = response.json()["index"]["working_on"] if response.is_success else None
        return work

    def _post(self, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._http.post(f"{self._path}:{action}", json=body, timeout=None)
        reply: dict[str, Any] = checked(response).json()
        return reply


@contextmanager
def asked(url: str, key: str | None, name: str) -> Iterator[ServedIndex]:
    """The index of a collection of the server at ``url``; when that cannot be reached, it is said, and that is all."""
    with served(url, key) as http:
        yield ServedIndex(http, name)
