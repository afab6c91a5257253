"""The audit log: which requests have a line, and what is in it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from service.access.caller import Caller
from service.access.key import Key, digest_of
from service.access.rights import ALL
from service.api import audit

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ADMIN = "a-key-of-an-operator-with-40-characters!"
DOCUMENTS = "/v1/collections/docs/documents"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """() -> what was written since it was asked last."""
    logger = logging.getLogger("quarry.audit")
    before, logger.propagate = logger.propagate, True
    caplog.set_level(logging.INFO, "quarry")
    known = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def written() -> list[dict[str, Any]]:
        records = [record for record in caplog.records if record.name == "quarry.audit"]
        caplog.clear()
        return [{name: said for name, said in vars(record).items() if name not in known} for record in records]

    yield written
    logger.propagate = before


def made(api: httpx.Client, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    reply = api.post("/v1/admin/keys", json={"name": "acme", "scopes": ["query"], **fields}, headers=bearer(ADMIN))
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


def test_what_takes_more_than_questions_has_a_line_and_questions_have_none(
    open_api: OpenApi, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api, scopes=["query", "ingest"])
        (line,) = lines()
        assert (line["action"], line["about_key"], line["key"]) == ("create_key", key["id"], "configured")
        api.headers.update(bearer(key["key"]))
        reply = api.put(f"{DOCUMENTS}/a", json={"text": "The bees sleep."})
        assert lines() == [
            {
                "request_id": reply.headers["x-request-id"],
                "key": key["id"],
                "key_name": "acme",
                "address": "127.0.0.1",
                "action": "put_document",
                "method": "PUT",
                "collection": "docs",
                "status": reply.status_code,
            }
        ]
        assert api.post("/v1/search", json={"query": "bees", "collection": "docs"}).is_success
        assert api.get(DOCUMENTS).is_success
        assert api.get("/v1/collections").is_success
        assert api.get("/healthz").is_success
        assert lines() == []
        assert api.put(f"{DOCUMENTS}/a", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
        assert api.delete("/v1/aliases/a").status_code == 403
        assert [(line["action"], line["status"]) for line in lines()] == [("put_document", 400), ("delete_alias", 403)]
        assert api.delete(f"/v1/admin/keys/{key['id']}", headers=bearer(ADMIN)).is_success
        (line,) = lines()
        assert (line["action"], line["about_key"]) == ("revoke_key", key["id"])


def test_every_refusal_has_a_line_without_what_was_shown(
    open_api: OpenApi, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api, collections=["docs"], limits={"requests_per_minute": 2})
        lines()
        for shown in ("nonsense", f"quarry.{key['id']}.{'x' * 43}", ""):
            assert api.get("/v1/collections", headers=bearer(shown)).status_code == 401
            (line,) = lines()
            assert (line["key"], line["key_name"], line["status"]) == ("none", "none", 401)
            assert key["id"] not in str(line)
        held = bearer(key["key"])
        asked = {"query": "bees", "collection": "others"}
        assert api.post("/v1/search", json=asked, headers=held).status_code == 403
        assert api.delete("/v1/collections/docs", headers=held).status_code == 403
        assert api.post("/v1/search", json=asked, headers=held).status_code == 429
        assert api.put("/v1/collections/others", json={}, headers=bearer(ADMIN)).is_success
        said = [(line["key"], line["action"], line["collection"], line["status"]) for line in lines()]
        assert said == [
            (key["id"], "search", "none", 403),
            (key["id"], "delete_collection", "none", 403),
            (key["id"], "none", "none", 429),
            ("configured", "put_collection", "others", 201),
        ]
        api.headers.update(bearer(made(api, collections=["live"])["key"]))
        assert api.post("/v1/search", json=asked).status_code == 403
        assert api.delete("/v1/collections/others", headers=bearer(ADMIN)).is_success
        said = [(line["collection"], line["status"]) for line in lines()]
        assert said[1:] == [("others", 403), ("others", 200)], "of one that there is, and of one that is gone with it"


def test_a_server_without_keys_has_lines_too(api: httpx.Client, lines: Callable[[], list[dict[str, Any]]]) -> None:
    assert api.put(f"{DOCUMENTS}/a", json={"text": "The bees sleep."}).is_success
    (line,) = lines()
    assert (line["key"], line["key_name"], line["action"]) == ("none", "none", "put_document")


@pytest.mark.parametrize("name", ["a\n{}", "x" * 65, "", "../a", "\x1b[2J"])
def test_what_is_no_name_of_a_collection_or_no_address_is_not_repeated(
    name: str, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    key = Key("0123456789abcdef", "acme", digest_of("x"), ALL)
    state = {"request_id": "r", "caller": Caller.of(key)}
    scope = {"type": "http", "method": "GET", "state": state, "client": (name, 0), "path_params": {"collection": name}}
    audit.record(scope, 403)
    (line,) = lines()
    assert (line["collection"], line["address"], line["action"]) == ("none", "none", "none")


def test_the_line_of_every_request_names_its_key(open_api: OpenApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quarry")
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api)
        api.get("/v1/collections", headers=bearer(key["key"]))
        api.get("/v1/collections")
    said = [vars(record) for record in caplog.records if record.name == "quarry.requests"]
    assert [line["key"] for line in said] == ["configured", key["id"], "none"]
