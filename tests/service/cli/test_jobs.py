"""quarry jobs."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.main import app

WAIT_MS = 200_000


@pytest.fixture
def url(listening: Callable[..., str]) -> str:
    return listening()


def quarry(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["jobs", *arguments])


def put(url: str, name: str, data: bytes) -> str:
    """The id of the job of a file, which has ended."""
    with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_MS / 1000) as http:
        path = f"/v1/collections/default/documents/{name}"
        http.put(path, files={"file": (name, data)}, params={"wait_ms": WAIT_MS})
        job: str = http.get("/v1/jobs").json()["data"][0]["id"]
        return job


def test_jobs_are_listed_shown_and_cancelled(url: str) -> None:
    written, refused = put(url, "a.txt", b"Words."), put(url, "b.txt", b"\xff\xfe\xfd")
    lines = quarry("list", "--url", url).stdout.splitlines()
    assert lines[1] == f"{written} succeeded default a.txt 1/1 1 created"
    assert lines[0].startswith(f"{refused} failed default b.txt")
    assert quarry("list", "--url", url, "--status", "failed").stdout.splitlines() == lines[:1]
    shown = quarry("show", refused, "--url", url).stdout.splitlines()
    assert shown[0] == lines[0]
    assert "b.txt: " in shown[1]
    assert "is not UTF-16-LE text" in shown[1]
    cancelled: dict[str, Any] = json.loads(quarry("cancel", written, "--url", url, "--json").stdout)
    assert (cancelled["id"], cancelled["status"]) == (written, "succeeded")
    page = quarry("list", "--url", url, "--json").stdout
    assert page.count("\n") == 1
    assert [job["id"] for job in json.loads(page)["data"]] == [refused, written]


def test_what_cannot_be_had_is_said(url: str) -> None:
    absent = quarry("show", "none", "--url", url)
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "there is no job 'none'" in absent.stderr
    lost = quarry("list", "--url", "http://127.0.0.1:9")
    assert (lost.exit_code, lost.stdout) == (1, "")
    assert "does quarry serve run there?" in lost.stderr
