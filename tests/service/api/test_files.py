"""Uploaded files that are no text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R 3 0 R]/Count 2>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 200]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
    b"4 0 obj<</Length 61>>stream\nBT /F 12 Tf 20 100 Td (The garage closes at ten today.) Tj ET\nendstream endobj\n"
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n"
)
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


def put(api: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return api.put("/v1/collections/c/documents/d", files={"file": (name, data)})


def test_citations_of_a_pdf_have_its_page(api: httpx.Client, tmp_path: Path) -> None:
    assert put(api, "a.pdf", PDF).status_code == 201
    assert api.get("/v1/collections/c/documents/d").json()["text"].count("\f") == 1
    reply = api.post("/v1/query", json={"query": "The garage closes at ten today.", "collection": "c"}).json()
    pages = {chunk["id"]: chunk["page"] for chunk in reply["chunks"]}
    assert pages == {"d#0": 1, "d#1": 2}
    assert reply["citations"]
    for citation in reply["citations"]:
        assert citation["page"] == pages[citation["chunk_id"]]
        assert citation["heading_path"] == []
    assert not list((tmp_path / "data" / "jobs" / "raw").iterdir())
    assert api.get("/v1/status").json()["parsing"]["fork_server"]


def test_what_is_wrong_with_a_file(api: httpx.Client, problem: Problem, tmp_path: Path) -> None:
    problem(put(api, "a.pdf", b"no pdf"), 415, "unsupported_media_type")
    problem(put(api, "a.odt", b"text"), 415, "unsupported_media_type")
    problem(put(api, "a.docx", b"PK\x03\x04 nothing"), 422, "invalid_request")
    problem(put(api, "a.pdf", b"%PDF-1.4\n\xff\xff"), 422, "invalid_request")
    assert not list((tmp_path / "data" / "jobs" / "raw").iterdir())


@pytest.mark.parametrize("suffix", ["txt", "md", "html", "pdf", "docx"])
def test_an_empty_file_has_no_text_whatever_its_type(api: httpx.Client, problem: Problem, suffix: str) -> None:
    for data in (b"", b" \n"):
        assert "has no text" in problem(put(api, f"a.{suffix}", data), 400, "empty_document")["detail"]


def test_a_file_s_name_may_have_a_quotation_mark(api: httpx.Client) -> None:
    assert put(api, 'the "blue" memo 100%.txt', b"Words.").status_code == 201
    assert api.get("/v1/collections/c/documents/d").json()["title"] == 'the "blue" memo 100%.txt'


def test_a_file_beyond_a_limit_and_one_that_cannot_be_read_now(
    open_api: Callable[..., Any],
    problem: Problem,
    monkeypatch: Any,  # noqa: ANN401
) -> None:
    with open_api(parsing={"pages": 1}) as api:
        problem(put(api, "a.pdf", PDF), 413, "payload_too_large")
    monkeypatch.setattr("sys.executable", "/nothing/there")
    with open_api(jobs={"default_wait_ms": 200}) as api:
        waiting = put(api, "a.txt", b"text")
        assert waiting.status_code == 202
        told = api.get("/v1/jobs/" + waiting.json()["job_id"]).json()
        assert told["status"] in {"queued", "running"}
