"""Which routes a replica serves: each is named here or there, so a new one has to be decided."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.description.document import describe, operations
from service.api.queries_only import SERVED, is_served
from service.app import create_app
from service.settings import Settings

_COLLECTION, _DOCUMENTS = "/v1/collections/{collection}", "/v1/collections/{collection}/documents"
REFUSED = {
    ("PUT", _COLLECTION),
    ("DELETE", _COLLECTION),
    *(("POST", f"{_COLLECTION}:{what}") for what in ("reembed", "rebuild", "calibrate", "verify", "purge")),
    ("GET", _DOCUMENTS),
    *((method, f"{_DOCUMENTS}/{{id}}") for method in ("GET", "PUT", "DELETE")),
    ("POST", f"{_DOCUMENTS}:batch"),
    ("POST", f"{_DOCUMENTS}:delete"),
    ("PUT", "/v1/aliases/{name}"),
    ("DELETE", "/v1/aliases/{name}"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{id}"),
    ("DELETE", "/v1/jobs/{id}"),
    ("POST", "/v1/admin/backup"),
    ("GET", "/v1/admin/keys"),
    ("POST", "/v1/admin/keys"),
    ("DELETE", "/v1/admin/keys/{key_id}"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], str]]:
    """(method, path) -> what the OpenAPI document says of its 503."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    document = describe(create_app(settings), settings)
    yield {
        (method.upper(), path): operation["responses"].get("503", {}).get("description", "")
        for path, method, operation in operations(document)
    }


def test_every_route_is_served_by_a_replica_or_refused(told: dict[tuple[str, str], str]) -> None:
    assert told.keys() == SERVED | REFUSED
    assert not SERVED & REFUSED
    assert {route for route in told if is_served(*route)} == SERVED


def test_the_document_says_which(told: dict[tuple[str, str], str]) -> None:
    assert {route for route, said in told.items() if "`replica_queries_only`" in said} == REFUSED


def test_the_playground_is_served(tmp_path: Path) -> None:
    assert is_served("GET", "/")
    assert is_served("HEAD", "/playground/main.js")
    assert not is_served("GET", "/playgrounds")
