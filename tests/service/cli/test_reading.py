"""Commands that ask a served application: ask, search, collections and documents."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.asking import hybrid_of, rerank_of
from service.cli.main import app

QUESTION = "When do the honey bees sleep?"
BEES = {"title": "Bees", "text": "The honey bees of the meadow sleep in winter.", "metadata": {"source": "book"}}


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(*arguments: str | Path) -> dict[str, Any]:
    done = quarry(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


@pytest.fixture
def url(listening: Callable[..., str]) -> str:
    """Address of a server with two documents in ``default``, one of which has an id with a slash."""
    address = listening()
    with httpx.Client(base_url=f"{address}/v1/collections/default/documents/", trust_env=False) as http:
        http.put("in%2Fbees.md", json=BEES).raise_for_status()
        http.put("wasps", json={"text": "Wasps and honey bees.", "metadata": {"source": "web"}}).raise_for_status()
    return address


def test_an_answer_is_the_same_streamed_and_whole(url: str) -> None:
    streamed, whole = quarry("ask", QUESTION, "--url", url), quarry("ask", QUESTION, "--url", url, "--no-stream")
    assert (streamed.exit_code, whole.exit_code) == (0, 0)
    assert streamed.stdout.splitlines()[:-1] == whole.stdout.splitlines()[:-1]
    assert streamed.stdout.splitlines()[0] == "The honey bees of the meadow sleep in winter. [1]"


def test_sources_have_title_headings_and_page(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = {
        "id": "b#0", "document_id": "b.pdf", "title": "Bees", "heading_path": ["Bees", "Winter"], "page": 3,
        "scores": {"vector": 0.71},
    }  # fmt: skip
    opening = {"chunks": [chunk], "warnings": [{"code": "query_truncated", "message": "read in part"}]}
    done = {"status": "ok", "answer": "In winter. [1]", "degraded": [], "timings_ms": {"total": 1.0}}
    events = [("retrieval", opening), ("token", {"text": "In winter. "}), ("token", {"text": "[1]"})]
    events += [("citation", {"marker": 1, "chunk_id": "b#0"}), ("done", done)]
    reply_with(monkeypatch, events)
    lines = quarry("ask", QUESTION).stdout.splitlines()
    assert lines[0] == "In winter. [1]"
    assert "read in part" in lines
    assert "  [1] Bees > Winter, page 3  (b.pdf, cosine 0.710)" in lines


def reply_with(monkeypatch: pytest.MonkeyPatch, events: Sequence[tuple[str, object]]) -> None:
    body = "".join(f": a comment\n\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    reply = httpx.Response(200, text=body)
    monkeypatch.setattr("httpx.HTTPTransport.handle_request", lambda *_: reply)


@pytest.mark.parametrize(
    ("last", "said"),
    [([("error", {"status": 504, "detail": "too late"})], "quarry: 504: too late\n"), ([], "quarry: the stream ended")],
)
def test_an_answer_that_breaks_off(monkeypatch: pytest.MonkeyPatch, last: list[tuple[str, object]], said: str) -> None:
    opening = {"chunks": [], "warnings": []}
    reply_with(monkeypatch, [("retrieval", opening), ("token", {"text": "In win"}), *last])
    done = quarry("ask", QUESTION)
    assert (done.exit_code, done.stdout.strip()) == (1, "In win")
    assert done.stderr.startswith(said)


def test_filters_and_boosts_are_sent(url: str) -> None:
    web = '{"type": "eq", "key": "source", "value": "web"}'
    for command in ("ask", "search"):
        kept = told(command, QUESTION, "--url", url, "--filter", web)
        assert [chunk["document_id"] for chunk in kept["chunks"]] == ["wasps"]
        boosted = told(command, QUESTION, "--url", url, "--boost", f'{{"filter": {web}, "weight": 1}}')
        assert [chunk["scores"]["boost"] for chunk in boosted["chunks"]] == [1.0, 0.0]
        refused = quarry(command, QUESTION, "--url", url, "--boost", '{"weight": 1}')
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("quarry: 422: boost.0.filter")
        assert "--filters is not JSON" in quarry(command, QUESTION, "--url", url, "--filters", "{").stderr


@pytest.mark.parametrize("command", ["ask", "search"])
def test_words_are_asked_for_or_not(url: str, command: str) -> None:
    def has_words(*options: str) -> bool:
        return "lexical" in told(command, QUESTION, "--url", url, *options)["timings_ms"]

    assert has_words()
    assert has_words("--hybrid", "--weight", "0.2")
    assert has_words("--weight", "0")
    assert not has_words("--no-hybrid")
    for options, said in (
        (("--weight", "2"), "hybrid.weight"),
        (("--no-hybrid", "--weight", "0.2"), "leave weight out"),
    ):
        refused = quarry(command, QUESTION, "--url", url, *options)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("quarry: 422: hybrid")
        assert said in refused.stderr


@pytest.mark.parametrize("weight", ["nan", "inf"])
def test_a_weight_that_json_does_not_have(weight: str) -> None:
    refused = quarry("search", QUESTION, "--weight", weight)
    assert (refused.exit_code, refused.stderr) == (1, f"quarry: --weight {weight} is no number that JSON has\n")


def test_the_options_as_the_api_has_them() -> None:
    assert hybrid_of(None, None) == {}
    assert hybrid_of(True, None) == {"hybrid": {"enabled": True}}
    assert hybrid_of(None, 0.0) == {"hybrid": {"enabled": True, "weight": 0.0}}
    assert hybrid_of(False, None) == {"hybrid": {"enabled": False}}
    assert rerank_of(None) == {}
    assert rerank_of(True) == {"rerank": {"enabled": True}}
    assert rerank_of(False) == {"rerank": {"enabled": False}}


@pytest.mark.parametrize("command", ["ask", "search"])
def test_reranking_is_asked_for_or_not(url: str, command: str) -> None:
    """Of a server that has no cross-encoder."""
    assert told(command, QUESTION, "--url", url, "--no-rerank")["chunks"]
    refused = quarry(command, QUESTION, "--url", url, "--rerank")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("quarry: 422: rerank.enabled is true, and a reranker is not configured")


def test_search_shows_chunks(url: str) -> None:
    lines = quarry("search", QUESTION, "--url", url, "--top-k", "1").stdout.splitlines()
    assert lines[0].startswith("1. Bees  (in/bees.md, cosine 0.")
    assert lines[1] == "   The honey bees of the meadow sleep in winter."
    assert told("search", QUESTION, "--url", url, "--explain")["explain"]["query"]["text"] == QUESTION
    none = '{"type": "eq", "key": "source", "value": "none"}'
    assert quarry("search", QUESTION, "--url", url, "--filters", none).stdout == "nothing found\n"


def test_collections(url: str) -> None:
    assert quarry("collections", "list", "--url", url).stdout == "default: 2 documents, 2 chunks\n"
    assert [entry["name"] for entry in told("collections", "list", "--url", url)["data"]] == ["default"]
    assert quarry("collections", "show", "default", "--url", url).stdout.startswith("default: 2 documents, 2 chunks\n")
    assert told("collections", "show", "default", "--url", url)["documents"] == 2
    assert quarry("collections", "delete", "default", "--url", url).exit_code == 1  # nobody says yes
    assert told("collections", "delete", "default", "--url", url, "--yes")
    gone = quarry("collections", "show", "default", "--url", url)
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr == "quarry: 404: there is no collection 'default'\n"


def test_documents(url: str) -> None:
    page = told("documents", "list", "--url", url, "--limit", "1")
    assert ([entry["id"] for entry in page["data"]], page["next_cursor"]) == (["in/bees.md"], "in/bees.md")
    shown = quarry("documents", "list", "--url", url, "--cursor", page["next_cursor"]).stdout
    assert shown.startswith("wasps  ")
    assert quarry("documents", "get", "in/bees.md", "--url", url).stdout == f"{BEES['text']}\n"
    assert told("documents", "get", "in/bees.md", "--url", url)["metadata"] == BEES["metadata"]
    assert told("documents", "delete", "in/bees.md", "absent", "--url", url)["deleted"] == 1
    web = '{"type": "eq", "key": "source", "value": "web"}'
    assert quarry("documents", "delete", "--filters", web, "--url", url).stdout.startswith(
        "default: 1 deleted, version "
    )
    for arguments in ([], ["wasps", "--filters", web]):
        assert "give either ids or --filters" in quarry("documents", "delete", *arguments, "--url", url).stderr


def test_ingest_prints_json(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nText.\n")
    (tmp_path / "b.bin").write_bytes(b"\x00")
    report = told("ingest", tmp_path / "a.md", "--url", url)
    assert report == {"collection": "default", "outcomes": {"created": 1}, "empty": [], "failures": [], "not_read": []}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.txt").write_bytes(b"\xff\xfe\xfd")
    (tmp_path / "in" / "c.bin").write_bytes(b"\x00")
    failed = quarry("ingest", tmp_path / "in", "--url", url, "--json")
    report = json.loads(failed.stdout)
    assert (failed.exit_code, report["outcomes"], len(report["failures"])) == (1, {"failed": 1}, 1)
    assert report["not_read"] == [str(tmp_path / "in" / "c.bin")]


def test_a_server_without_keys_does_not_look_at_one(url: str) -> None:
    assert told("search", QUESTION, "--url", url, "--key", "whatever")["chunks"]
    for header in ("Bearer sk-none", "Basic Zm9vOmJhcg==", "nonsense", ""):
        reply = httpx.get(f"{url}/v1/collections", headers={"Authorization": header}, trust_env=False)
        assert reply.status_code == 200


def test_names_and_questions_that_are_not_utf8(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in (b"caf\xe9.txt", b"caf\xe9.png"):
        (folder / os.fsdecode(name)).write_bytes(b"Some text.")
    done = quarry("ingest", folder, "--url", url, "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert report["failures"] == [f"{folder}/caf\\xe9.txt: its name is not UTF-8"]
    assert report["not_read"] == [f"{folder}/caf\\xe9.png"]
    asked = quarry("ask", os.fsdecode(b"caf\xe9?"), "--url", url)
    assert asked.exit_code == 1
    assert "caf\\xe9? is not UTF-8" in asked.stderr
