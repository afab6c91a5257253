"""Two tenants in one collection: what does not exist for whom."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from service.access.keys import Keys
from tenants.asking import ADMIN, DOCUMENTS, Asking, made

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
_HITS = re.compile(r'^quarry_query_cache_lookups_total{outcome="hit"} (\S+)', re.MULTILINE)
_ANSWER = b'data: {"choices":[{"delta":{"content":"Yes [1]."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def test_what_fails_the_filter_is_not_there_to_be_read(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask = Asking(opened, red)
    found = ask("POST", "/v1/search", json={"query": "the blue boiler", "collection": "docs"}).json()["chunks"]
    assert [chunk["document_id"] for chunk in found] == ["red"]
    said = {name: problem(ask("GET", f"{DOCUMENTS}/{name}"), 404, "not_found")["detail"] for name in ("blue", "none")}
    assert said["blue"].replace("blue", "none") == said["none"]
    assert [entry["id"] for entry in ask("GET", DOCUMENTS).json()["data"]] == ["red"]
    collection = ask("GET", "/v1/collections/docs").json()
    assert (collection["documents"], collection["chunks"], collection["index"]) == (1, None, None)


def test_what_fails_the_filter_is_not_deleted(opened: httpx.Client, red: str) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    replies = [ask("DELETE", f"{DOCUMENTS}/{id_}").json() for id_ in ("nothing", "blue", "neither")]
    assert [reply["deleted"] for reply in replies] == [0, 0, 0]
    assert len({reply["index_version"] - number for number, reply in enumerate(replies)}) == 1, "it tells of blue"
    every = {"type": "ne", "key": "tenant", "value": "nobody"}
    assert ask("POST", f"{DOCUMENTS}:delete", json={"filters": every}).json()["deleted"] == 1
    assert [entry["id"] for entry in admin("GET", DOCUMENTS).json()["data"]] == ["blue"]


@pytest.mark.parametrize("way", ["json", "job", "file", "batch", "batch job"])
def test_writes_stay_within_the_filter(opened: httpx.Client, red: str, way: str) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    before = admin("GET", f"{DOCUMENTS}/blue").json()
    for id_, tenant, is_allowed in [("blue", "red", False), ("new", "blue", False), ("red", "red", True)]:
        assert _put(ask, way, id_, tenant) is is_allowed, (id_, tenant)
    assert admin("GET", f"{DOCUMENTS}/blue").json() == before
    assert admin("GET", f"{DOCUMENTS}/new").status_code == 404
    assert admin("GET", f"{DOCUMENTS}/red").json()["text"] == "Written anew."
    jobs = admin("GET", "/v1/jobs").json()["data"]
    assert all(job["status"] in {"succeeded", "failed"} for job in jobs)


def test_a_document_is_in_one_tenants_hands(opened: httpx.Client, red: str, problem: Problem) -> None:
    """With a list of two of them it would pass the filters of both."""
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    for tenants, status in ((["red"], 201), (["red", "blue"], 403), (["blue", "red"], 403), ([], 403)):
        reply = ask("PUT", f"{DOCUMENTS}/list", json={"text": f"Of {tenants}.", "metadata": {"tenant": tenants}})
        assert reply.status_code == status, reply.text
    assert admin("GET", f"{DOCUMENTS}/list").json()["metadata"] == {"tenant": ["red"]}
    both = {"text": "Of both.", "metadata": {"tenant": ["red", "blue"]}}
    assert admin("PUT", f"{DOCUMENTS}/both", json=both).status_code == 201
    assert ask("GET", f"{DOCUMENTS}/both").is_success  # what an operator writes for both, both read


def _put(ask: Asking, way: str, id_: str, tenant: str) -> bool:
    """Whether the document was stored."""
    body = {"text": "Written anew.", "metadata": {"tenant": tenant}}
    if way in {"json", "job"}:
        return ask("PUT", f"{DOCUMENTS}/{id_}" + "?wait_ms=60000" * (way == "job"), json=body).is_success
    if way == "file":
        fields = {"metadata": f'{{"tenant": "{tenant}"}}'}
        return ask("PUT", f"{DOCUMENTS}/{id_}", files={"file": ("a.txt", body["text"])}, data=fields).is_success
    line = httpx.Request("POST", "http://x", json={"id": id_, **body}).content
    if way == "batch":
        return ask("POST", f"{DOCUMENTS}:batch", content=line).json()["status"] in {"created", "updated"}
    job = ask("POST", f"{DOCUMENTS}:batch?wait_ms=60000", content=line).json()["job_id"]
    return "failed" not in ask("GET", f"/v1/jobs/{job}").json()["outcomes"]


def test_of_jobs_a_filter_leaves_ones_own(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    own, foreign = (_job(asking, text) for asking, text in ((ask, b"Red again."), (admin, b"Red, and not by its key.")))
    assert [job["id"] for job in ask("GET", "/v1/jobs").json()["data"]] == [own]
    assert {job["id"] for job in admin("GET", "/v1/jobs").json()["data"]} == {own, foreign}
    assert ask("GET", f"/v1/jobs/{own}").is_success
    for method in ("GET", "DELETE"):
        problem(ask(method, f"/v1/jobs/{foreign}"), 404, "not_found")


def _job(ask: Asking, text: bytes) -> str:
    """The id of one that writes the red document."""
    fields = {"metadata": '{"tenant": "red"}'}
    reply = ask("PUT", f"{DOCUMENTS}/red", files={"file": ("a.txt", text)}, data=fields).json()
    assert reply["status"] == "updated"
    return str(reply["job_id"])


def test_jobs_of_a_key_whose_filter_has_an_integer_of_any_size(opened: httpx.Client, ring: dict[str, str]) -> None:
    ask = Asking(opened, ring["any integer"])
    for way in ("job", "file", "batch job"):
        assert _put(ask, way, "big", "red"), way


def test_a_filter_says_nothing_of_the_whole_collection(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask = Asking(opened, red)
    problem(ask("PUT", "/v1/collections/docs", json={"llm": "extractive"}), 403, "forbidden")
    problem(ask("PUT", "/v1/collections/docs", json={"min_confidence": 0}), 403, "forbidden")
    assert ask("PUT", "/v1/collections/docs", json={}).status_code == 200


def test_what_one_key_asked_is_not_fast_for_another(opened: httpx.Client, ring: dict[str, str]) -> None:
    body = {"query": "Which boiler is cold?", "collection": "docs"}
    hits = []
    for name in ("red", "red", "query", "query"):
        Asking(opened, ring[name])("POST", "/v1/search", json=body)
        text = Asking(opened, ADMIN)("GET", "/metrics").text
        hits += [float(count) for count in _HITS.findall(text)]
    assert hits == [1, 1, 2]  # none before there is the first


def test_the_prefixes_that_a_model_server_keeps_are_apart(
    open_api: OpenApi, keys: Keys, language_model: Callable[..., str], llm_requests: list[dict[str, Any]]
) -> None:
    pair = [made(keys, "query", "ingest"), made(keys, "query")]
    url = language_model([_ANSWER])
    with open_api(llm={"small": {"url": url, "model": "small", "server": "vllm"}}) as http:
        Asking(http, pair[0])("PUT", f"{DOCUMENTS}/a", json={"text": "The boiler is cold."})
        body = {"query": "Is the boiler cold?", "collection": "docs", "llm": "small"}
        for key in (*pair, pair[0]):
            assert Asking(http, key)("POST", "/v1/query", json=body).is_success
    salts = [request["cache_salt"] for request in llm_requests if "cache_salt" in request]
    assert salts[0] == salts[2] != salts[1]
