"""Put, get, list, delete and batches."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
DOCUMENTS = "/v1/collections/docs/documents"


def put(api: httpx.Client, document_id: str, **body: object) -> httpx.Response:
    return api.put(f"{DOCUMENTS}/{document_id}", json={"text": "Some words."} | body)


def batch(api: httpx.Client, *lines: object) -> list[dict[str, Any]]:
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    response = api.post(f"{DOCUMENTS}:batch", content=content)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_put_creates_then_updates_then_changes_nothing(api: httpx.Client) -> None:
    created, updated, unchanged = put(api, "a"), put(api, "a", text="Other words."), put(api, "a", text="Other words.")
    assert [reply.status_code for reply in (created, updated, unchanged)] == [201, 200, 200]
    assert created.json() == {"id": "a", "status": "created", "index_version": 1}
    assert updated.json() == {"id": "a", "status": "updated", "index_version": 2}
    assert unchanged.json() == {"id": "a", "status": "unchanged", "index_version": 2}


@pytest.mark.parametrize("change", [{"title": "T"}, {"metadata": {"k": 1}}, {"url": "http://x"}, {"text": "Other."}])
def test_every_field_counts_as_a_change(api: httpx.Client, change: dict[str, object]) -> None:
    put(api, "a")
    assert put(api, "a", **change).json()["status"] == "updated"
    stored = api.get(f"{DOCUMENTS}/a").json()
    assert {name: stored[name] for name in change} == change


def test_get_returns_what_was_put(api: httpx.Client) -> None:
    body = {
        "title": "T",
        "text": "Línea\r\nuno 🎉",
        "metadata": {"n": [1, 2.5, None, {"é": True}]},
        "url": "http://x/y",
    }
    put(api, "a", **body)
    assert api.get(f"{DOCUMENTS}/a").json() == {"id": "a"} | body


@pytest.mark.parametrize(
    "document_id",
    ["a/b/c.txt", "with space", "100%", "a%2Fb", "what?#x", "grüße/日本語 🎉", "documents/x", "/", "a//b/"],
)
def test_ids_survive_the_round_trip(api: httpx.Client, document_id: str) -> None:
    path = f"/v1/collections/documents/documents/{quote(document_id, safe='')}"
    assert api.put(path, json={"text": "Some words."}).json()["id"] == document_id
    assert api.get(path).json()["id"] == document_id
    assert [entry["id"] for entry in api.get("/v1/collections/documents/documents").json()["data"]] == [document_id]
    assert api.delete(path).json()["deleted"] == 1


@pytest.mark.parametrize("encoded", ["a%0Ab", "%0A", "a%0A", "a/%0Db"])
def test_an_id_with_a_line_break_is_refused_as_an_id(api: httpx.Client, problem: Problem, encoded: str) -> None:
    path = f"/v1/collections/docs/documents/{encoded}"
    for reply in (api.put(path, json={"text": "a"}), api.get(path), api.delete(path)):
        assert "control character" in problem(reply, 400, "invalid_request")["detail"]
    assert api.get("/v1/collections/docs").status_code == 404


def test_a_form_with_its_own_fields(api: httpx.Client) -> None:
    fields = {"title": "Mine", "metadata": '{"k": "v"}', "url": "http://x"}
    reply = api.put(f"{DOCUMENTS}/a", data=fields, files={"file": ("page.md", b"# Own\n\nWords.")})
    assert reply.status_code == 201
    expected = {"id": "a", "title": "Mine", "text": "# Own\n\nWords.", "metadata": {"k": "v"}, "url": "http://x"}
    assert api.get(f"{DOCUMENTS}/a").json() == expected


def test_a_form_whose_file_names_itself(api: httpx.Client) -> None:
    api.put(f"{DOCUMENTS}/a", files={"file": ("page.html", b"<title>Bees</title><p>They <b>hum</b>.</p>")})
    stored = api.get(f"{DOCUMENTS}/a").json()
    assert (stored["title"], stored["text"].strip()) == ("Bees", "They **hum**.")


def test_delete(api: httpx.Client) -> None:
    put(api, "a")
    assert api.delete(f"{DOCUMENTS}/a").json() == {"deleted": 1, "index_version": 2}
    assert api.delete(f"{DOCUMENTS}/a").json() == {"deleted": 0, "index_version": 3}
    assert api.post("/v1/search", json={"query": "words", "collection": "docs"}).json()["chunks"] == []


def test_delete_by_filter(api: httpx.Client) -> None:
    for name, metadata in {"a": {"year": 2019}, "b": {"year": 2020}, "c": {}, "d": {"year": [2021, "x"]}}.items():
        put(api, name, metadata=metadata)
    recent = {"type": "gte", "key": "year", "value": 2020}
    reply = api.post(f"{DOCUMENTS}:delete", json={"filters": recent}).json()
    assert reply["deleted"] == 2
    found = api.post("/v1/search", json={"query": "words", "collection": "docs"}).json()
    assert sorted(chunk["document_id"] for chunk in found["chunks"]) == ["a", "c"]
    assert found["index_version"] == reply["index_version"]
    again = api.post(f"{DOCUMENTS}:delete", json={"filters": recent}).json()
    assert again == {"deleted": 0, "index_version": reply["index_version"] + 1}


def test_deleted_documents_take_no_place_from_others(api: httpx.Client) -> None:
    for number in range(9):
        put(api, str(number), text=f"Some words. {'More of it. ' * number}")
    for number in range(8):
        api.delete(f"{DOCUMENTS}/{number}")
    found = api.post("/v1/search", json={"query": "some words", "collection": "docs", "top_k": 1}).json()["chunks"]
    assert [chunk["document_id"] for chunk in found] == ["8"]


def test_what_is_not_there(api: httpx.Client, problem: Problem) -> None:
    problem(api.get(f"{DOCUMENTS}/a"), 404, "not_found")
    problem(api.delete(f"{DOCUMENTS}/a"), 404, "not_found")
    problem(api.get(DOCUMENTS), 404, "not_found")
    put(api, "b")
    assert "'a'" in problem(api.get(f"{DOCUMENTS}/a"), 404, "not_found")["detail"]


def test_pages_hold_every_document_once(api: httpx.Client) -> None:
    ids = sorted(["é", "a/b", "a", "Z", "z z", "ä%"])
    batch(api, *({"id": id_, "text": "Words."} for id_ in ids))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(DOCUMENTS, params={"limit": 4, "cursor": cursor}).json()
        seen += [entry["id"] for entry in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ids


@pytest.mark.parametrize("limit", ["0", "1001", "ten"])
def test_a_page_has_a_limit(api: httpx.Client, problem: Problem, limit: str) -> None:
    put(api, "a")
    detail = problem(api.get(DOCUMENTS, params={"limit": limit}), 422, "invalid_request")["detail"]
    assert detail.startswith("limit: ")
    assert f"got '{limit}'" in detail


def test_a_batch_answers_each_line_in_order(api: httpx.Client) -> None:
    put(api, "old")
    replies = batch(
        api,
        {"id": "new", "text": "Words."},
        {"_id": "old", "text": "Some words."},
        "",
        {"id": "old", "text": "New words.", "title": "T"},
        {"id": "empty", "text": " "},
        "garbage",
        {"id": 5, "text": "Words."},
        {"id": "a\tb", "text": "Words."},
        {"id": "x", "text": "Words.", "color": "red"},
        '{"id": "nan", "text": "Words.", "metadata": {"n": NaN}}',
        {"text": "Words."},
    )
    statuses = [reply["status"] for reply in replies]
    assert statuses == ["created", "unchanged", "updated", "skipped", *["error"] * 6]
    assert [reply["id"] for reply in replies[:4]] == ["new", "old", "old", "empty"]
    assert replies[3]["error"]["code"] == "empty_document"
    assert {reply["error"]["code"] for reply in replies[4:]} == {"invalid_request"}
    said = [reply["error"]["message"] for reply in replies[4:]]
    for message, part in zip(said, ["JSON", "got 5", "control", "color", "metadata", "id"], strict=True):
        assert part in message
    assert [entry["id"] for entry in api.get(DOCUMENTS).json()["data"]] == ["new", "old"]


def test_lines_that_are_not_utf8_fail_alone(api: httpx.Client) -> None:
    content = b'{"id": "a", "text": "caf\xe9"}\n\xff\xfe\n{"id": "b", "text": "Words."}\r\n'
    replies = [json.loads(line) for line in api.post(f"{DOCUMENTS}:batch", content=content).text.splitlines()]
    assert [reply["status"] for reply in replies] == ["error", "error", "created"]


def test_result_lines_tell_which_line_and_which_document_they_are_of(api: httpx.Client) -> None:
    lines = ("", {"id": "a", "text": "Words."}, " ", {"id": "b", "text": 5}, "{", {"id": 7, "text": "Words."}, "[]")
    told = [(reply["line"], reply["id"], reply["status"]) for reply in batch(api, *lines)]
    assert told == [(2, "a", "created"), (4, "b", "error"), *((line, None, "error") for line in (5, 6, 7))]
    assert [(reply["line"], reply["id"]) for reply in batch(api, "", {"id": "b", "text": 5})] == [(2, "b")]


def test_the_last_line_of_an_id_wins(api: httpx.Client) -> None:
    batch(api, *({"id": "a", "text": f"Words number {number}."} for number in range(150)))
    assert api.get(f"{DOCUMENTS}/a").json()["text"] == "Words number 149."
    assert api.get("/v1/collections/docs").json()["chunks"] == 1


def test_an_empty_batch(api: httpx.Client) -> None:
    assert batch(api, "", "  ") == []


@pytest.fixture
def strict(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> Iterator[httpx.Client]:
    with open_api(limits={"batch_documents": 3}) as client:
        yield client


def test_a_batch_over_the_line_limit_stores_nothing(strict: httpx.Client, problem: Problem) -> None:
    content = "\n".join(json.dumps({"id": str(number), "text": "Words."}) for number in range(4))
    sent = strict.post(f"{DOCUMENTS}:batch", content=content)
    assert problem(sent, 400, "invalid_request")["detail"] == "the batch has 4 lines; the limit is 3"
    assert strict.get("/v1/collections").json()["data"] == []


def test_documents_survive_a_restart(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> None:
    with open_api() as api:
        put(api, "kept")
        put(api, "gone")
        api.delete(f"{DOCUMENTS}/gone")
    with open_api() as api:
        found = api.post("/v1/search", json={"query": "some words", "collection": "docs"}).json()["chunks"]
        assert [chunk["document_id"] for chunk in found] == ["kept"]
        assert put(api, "kept").json()["status"] == "unchanged"
