"""Sending sources to a server, and what becomes of each document."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import orjson
import pytest

from service.cli import upload
from service.cli.given_metadata import GivenMetadata
from service.cli.sources import BatchSource, FileSource, Line
from service.cli.upload import Uploader

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture
def gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_GIVE_UP_S", 0.2)


def uploader(handler: Handler, **common: object) -> Uploader:
    http = httpx.Client(transport=httpx.MockTransport(handler), base_url="http://quarry")
    return Uploader(http, "my docs", GivenMetadata(common))


def problem(status: int, code: str, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail, "error": {"code": code}})


def batch(*lines: bytes) -> BatchSource:
    return BatchSource(Path("in.jsonl"), [Line(number, data) for number, data in enumerate(lines, start=1)])


def reply(status: str, code: str = "", message: str = "") -> dict[str, object]:
    return {"id": "x", "status": status, "error": {"code": code, "message": message} if code else None}


def ndjson(replies: Sequence[object]) -> httpx.Response:
    return httpx.Response(200, content=b"".join(orjson.dumps(reply) + b"\n" for reply in replies))


@pytest.fixture
def file(tmp_path: Path) -> FileSource:
    path = tmp_path / "a b.txt"
    path.write_bytes(b"Some text.")
    return FileSource(path, "sub/a b%é.txt")


def test_a_file_is_put_under_its_id(file: FileSource) -> None:
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(201, json={"id": "x", "status": "created", "index_version": 1})

    uploading = uploader(handler)
    uploading.send(file)
    assert sent[0].method == "PUT"
    assert sent[0].url.raw_path == b"/v1/collections/my%20docs/documents/sub%2Fa%20b%25%C3%A9.txt?wait_ms=10000"
    assert b'filename="a b.txt"' in sent[0].read()
    assert uploading.tally.outcomes == {"created": 1}
    assert uploading.tally.failures == []


def test_an_empty_file_is_skipped_and_no_failure(file: FileSource) -> None:
    uploading = uploader(lambda _: problem(400, "empty_document", "no text"))
    uploading.send(file)
    assert uploading.tally.outcomes == {"skipped": 1}
    assert uploading.tally.empty == [str(file.path)]
    assert uploading.tally.failures == []


def test_a_refused_file_is_a_failure_with_its_reason(file: FileSource) -> None:
    uploading = uploader(lambda _: problem(415, "unsupported_media_type", "byte 0xff at offset 3"))
    uploading.send(file)
    assert uploading.tally.outcomes == {"failed": 1}
    assert uploading.tally.failures == [f"{file.path}: byte 0xff at offset 3"]


def test_a_reply_that_is_no_problem_is_a_failure_too(file: FileSource) -> None:
    uploading = uploader(lambda _: httpx.Response(500, content=b"<html>"))
    uploading.send(file)
    assert uploading.tally.failures == [f"{file.path}: Internal Server Error"]


def test_a_busy_server_is_tried_again(file: FileSource) -> None:
    replies = [problem(503, "overloaded", "busy")] * 2 + [httpx.Response(200, json={"status": "updated"})]
    uploading = uploader(lambda _: replies.pop(0))
    uploading.send(file)
    assert uploading.tally.outcomes == {"updated": 1}


@pytest.mark.usefixtures("gives_up")
def test_a_server_that_stays_busy_is_given_up(file: FileSource) -> None:
    uploading = uploader(lambda _: problem(503, "overloaded", "busy for ever"))
    uploading.send(file)
    assert uploading.tally.failures == [f"{file.path}: busy for ever"]


def test_a_file_that_cannot_be_read(file: FileSource) -> None:
    file.path.unlink()
    uploading = uploader(lambda _: pytest.fail("nothing is sent"))
    uploading.send(file)
    assert uploading.tally.failures == [f"{file.path}: No such file or directory"]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    path = tmp_path / name
    path.write_bytes(b"Some text.")
    uploading = uploader(lambda _: pytest.fail("nothing is sent"))
    uploading.send(FileSource(path, name))
    assert uploading.tally.failures == [f"{tmp_path}/caf\\xe9.txt: its name is not UTF-8"]


def test_a_batch_is_counted_line_by_line() -> None:
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        assert request.url.path == "/v1/collections/my docs/documents:batch"
        assert request.headers["content-type"] == "application/x-ndjson"
        return ndjson(
            [reply("created"), reply("skipped", "empty_document"), reply("error", "invalid_request", "bad id")]
        )

    uploading = uploader(handler)
    uploading.send(batch(b"1", b"2", b"3"))
    assert bodies == [b"1\n2\n3"]
    assert uploading.tally.outcomes == {"created": 1, "skipped": 1, "failed": 1}
    assert uploading.tally.empty == ["in.jsonl:2"]
    assert uploading.tally.failures == ["in.jsonl:3: bad id"]


def test_only_the_lines_that_met_a_busy_server_are_sent_again() -> None:
    bodies: list[bytes] = []
    replies = [
        [reply("created"), reply("error", "overloaded", "busy"), reply("error", "invalid_request", "no")],
        [reply("error", "embedder_unavailable", "burp")],
        [reply("unchanged")],
    ]

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return ndjson(replies.pop(0))

    uploading = uploader(handler)
    uploading.send(batch(b"1", b"2", b"3"))
    assert bodies == [b"1\n2\n3", b"2", b"2"]
    assert uploading.tally.outcomes == {"created": 1, "failed": 1, "unchanged": 1}


@pytest.mark.usefixtures("gives_up")
def test_lines_that_stay_busy_fail_in_the_end() -> None:
    uploading = uploader(lambda _: ndjson([reply("error", "overloaded", "busy")]))
    uploading.send(batch(b"1"))
    assert uploading.tally.failures == ["in.jsonl:1: the server was busy for 0.2 s"]


def test_a_refused_batch_fails_every_line() -> None:
    uploading = uploader(lambda _: problem(413, "payload_too_large", "too large"))
    uploading.send(batch(b"1", b"2"))
    assert uploading.tally.failures == ["in.jsonl:1: too large", "in.jsonl:2: too large"]


def test_a_lost_connection_is_the_callers_to_report(file: FileSource) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError):
        uploader(handler).send(file)


def test_a_file_that_was_accepted_is_followed_to_its_end(file: FileSource) -> None:
    states = [{"status": "running"}, {"status": "succeeded", "outcomes": {"created": 1}}]
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.method == "PUT":
            return httpx.Response(202, json={"id": "x", "status": "accepted", "job_id": "j"})
        return httpx.Response(200, json=states.pop(0))

    uploading = uploader(handler)
    uploading.send(file)
    assert asked[1:] == ["/v1/jobs/j", "/v1/jobs/j"]
    assert uploading.tally.outcomes == {"created": 1}


def test_what_is_known_of_a_job_is_told(file: FileSource) -> None:
    running = {"status": "running", "embedded": 32, "texts": 90}
    states = [running, {"status": "succeeded", "outcomes": {"created": 1}}]

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(202, json={"id": "x", "status": "accepted", "job_id": "j"})
        return httpx.Response(200, json=states.pop(0))

    told: list[object] = []
    http = httpx.Client(transport=httpx.MockTransport(handler), base_url="http://quarry")
    Uploader(http, "docs", heard=lambda where, job: told.append((where, job))).send(file)
    where = str(file.path)
    assert told == [(where, {"id": "j", "status": "queued"}), (where, running), (where, None)]


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        ({"status": "failed", "errors": [{"code": "invalid_request", "message": "encrypted"}]}, "failed"),
        ({"status": "succeeded", "outcomes": {"skipped": 1}, "errors": [{"code": "empty_document"}]}, "skipped"),
        ({"status": "cancelled", "errors": []}, "failed"),
    ],
)
def test_what_its_job_came_to_is_what_the_file_came_to(file: FileSource, job: dict[str, object], outcome: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"job_id": "j"}) if request.method == "PUT" else httpx.Response(200, json=job)

    uploading = uploader(handler)
    uploading.send(file)
    assert uploading.tally.outcomes == {outcome: 1}


def test_metadata_of_all_goes_with_a_file(file: FileSource) -> None:
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(201, json={"status": "created"})

    uploading = uploader(handler, tenant="acme", year=2**70)
    uploading.send(file)
    assert b'name="metadata"\r\n\r\n{"tenant": "acme", "year": 1180591620717411303424}\r\n' in bodies[0]


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b'{"id": "a", "text": "A."}', {"id": "a", "text": "A.", "metadata": {"tenant": "acme", "n": 1}}),
        (b'{"metadata": {"tenant": "zeta"}}', {"metadata": {"tenant": "zeta", "n": 1}}),
        (b'{"metadata": {"n": 18446744073709551617.0, "m": 123456789012345678901234567890}}', None),
    ],
)
def test_a_lines_own_metadata_wins(line: bytes, sent: dict[str, object] | None) -> None:
    common = GivenMetadata({"tenant": "acme", "n": 1})
    expected = sent or {"metadata": {"tenant": "acme", **json.loads(line)["metadata"]}}
    assert json.loads(common.of_line(line)) == expected


@pytest.mark.parametrize("line", [b"{", b"[]", b"7", b'{"metadata": null}', b'{"metadata": "x"}', b"\xff", b"[" * 9999])
def test_a_line_that_is_no_document_is_the_servers_to_refuse(line: bytes) -> None:
    assert GivenMetadata({"tenant": "acme"}).of_line(line) == line
