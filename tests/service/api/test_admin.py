"""Backups of a server that runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from indexes.backup import verify_backup
from indexes.restore import restore

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "data" / "backups"


def search(api: httpx.Client) -> Any:  # noqa: ANN401  what the reply holds
    body = {"query": "where do the bees sleep?", "collection": "docs"}
    return api.post("/v1/search", json=body).json()["chunks"]


def test_a_backup_of_a_running_server_serves_the_same_answers(open_api: OpenApi, backups: Path, tmp_path: Path) -> None:
    with open_api() as api:
        for name in "abc":
            api.put(f"/v1/collections/docs/documents/{name}", json={"text": f"The bees of {name} sleep in winter."})
        found = search(api)
        assert len(found) == 3
        reply = api.post("/v1/admin/backup", json={"folder": "before-lunch"}).json()
        api.delete("/v1/collections/docs")
    manifest = verify_backup(backups / "before-lunch")
    said = orjson.loads(orjson.dumps(asdict(manifest)))
    assert reply == {"folder": str(backups / "before-lunch"), "bytes": manifest.bytes, "manifest": said}
    assert [(entry["name"], entry["documents"]) for entry in reply["manifest"]["collections"]] == [("docs", 3)]
    lost = (tmp_path / "data").rename(tmp_path / "lost")
    restore(lost / "backups" / "before-lunch", tmp_path / "data")
    with open_api() as api:
        assert search(api) == found


@pytest.mark.parametrize("body", [None, {}, {"folder": None}])
def test_a_backup_without_a_name_is_called_by_its_time(api: httpx.Client, backups: Path, body: object) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    reply = api.post("/v1/admin/backup", json=body) if body is not None else api.post("/v1/admin/backup")
    (folder,) = backups.iterdir()
    assert reply.json()["folder"] == str(folder)
    assert before <= datetime.strptime(folder.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/tmp/x", ".hidden", "a\n", "ä", "x" * 65, 7])  # noqa: S108
def test_a_name_that_leads_elsewhere_is_refused(
    api: httpx.Client, problem: Problem, backups: Path, name: object
) -> None:
    refused = problem(api.post("/v1/admin/backup", json={"folder": name}), 422, "invalid_request")
    assert refused["error"]["param"] == "folder"
    assert not backups.exists()


def test_an_unknown_field_is_refused(api: httpx.Client, problem: Problem) -> None:
    problem(api.post("/v1/admin/backup", json={"dest": "x"}), 422, "invalid_request")
    problem(api.post("/v1/admin/backup", content=b"{}"), 415, "unsupported_media_type")


def test_a_name_that_is_taken_is_a_conflict(api: httpx.Client, problem: Problem) -> None:
    assert api.post("/v1/admin/backup", json={"folder": "one"}).is_success
    assert "is not empty" in problem(api.post("/v1/admin/backup", json={"folder": "one"}), 409, "conflict")["detail"]


def test_a_backup_that_fails_is_said_and_leaves_nothing(
    api: httpx.Client, problem: Problem, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("indexes.backup.move", refuse)
    said = problem(api.post("/v1/admin/backup", json={"folder": "one"}), 503, "vector_store_unavailable")
    assert "No space left on device" in said["detail"]
    assert list(backups.iterdir()) == []
