"""The keys of a server that runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from service.cli.console import checked, served

_PATH = "/v1/admin/keys"


class ServedKeys:
    """A thin client of the routes."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/admin/keys."""
        return _json(self._http.post(_PATH, json=body))

    def listed(self) -> dict[str, Any]:
        """GET /v1/admin/keys."""
        return _json(self._http.get(_PATH))

    def revoke(self, key_id: str) -> dict[str, Any]:
        """DELETE /v1/admin/keys/{id}."""
        return _json(self._http.delete(f"{_PATH}/{quote(key_id, safe='')}"))


@contextmanager
def asked(url: str, key: str | None) -> Iterator[ServedKeys]:
    """The keys of the server at ``url``; when that cannot be reached, it is said, and that is all."""
    with served(url, key) as http:
        yield ServedKeys(http)


def _json(response: httpx.Response) -> dict[str, Any]:
    reply: dict[str, Any] = checked(response).json()
    return reply
