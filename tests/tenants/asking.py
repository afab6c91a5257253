"""Keys for tests, and clients that show them."""

from dataclasses import dataclass
from typing import Any

import httpx

from indexes.filters import parse_filter
from service.access.keys import Keys, NewKey
from service.access.rights import Rights
from service.access.scope import Scope

RED: dict[str, Any] = {"type": "eq", "key": "tenant", "value": "red"}
DOCUMENTS = "/v1/collections/docs/documents"
ADMIN = "an admin key of more than thirty-two characters"


@dataclass(frozen=True, slots=True)
class Asking:
    """A client with a key."""

    http: httpx.Client
    key: str

    def __call__(self, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401
        return self.http.request(method, path, headers={"Authorization": f"Bearer {self.key}"}, **body)


def made(
    keys: Keys, *scopes: Scope, collections: list[str] | None = None, filter_: dict[str, Any] | None = None
) -> str:
    named = None if collections is None else frozenset(collections)
    rights = Rights(frozenset(scopes), named, filter_ and parse_filter(filter_))
    return str(keys.create(NewKey("somebody", rights))[1])
