"""Requests and replies, before a server that follows a script."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.cli.eval.asked import Answered, Citation, Interview, Question
from service.cli.eval.asker import Asker, RefusedError
from service.cli.eval.dataset import Query
from service.cli.eval.fidelity import fidelity, share_by_lists
from service.cli.eval.searches import Failure, Found, Searches, SearchTask, search_all
from service.cli.eval.way import UnknownWayError, Way

TEXT = "Ä mill. It grinds barley."
CHUNKS = [
    {"id": "a#0", "document_id": "a", "scores": {"vector": 0.4}},
    {"id": "b#1", "document_id": "b", "scores": {"vector": 0.6}},
    {"id": "a#2", "document_id": "a", "scores": {"vector": 0.2}},
]


@contextmanager
def unwatched(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    yield lambda: None


def asker(handle: Callable[[httpx.Request], httpx.Response], concurrency: int = 2) -> Asker:
    return Asker(httpx.Client(transport=httpx.MockTransport(handle), base_url="http://test"), concurrency, unwatched)


def listed(chunk: str, vector: float, lexical: float | None = None) -> dict[str, Any]:
    words = {} if lexical is None else {"lexical": lexical}
    return {"id": chunk, "document_id": chunk[0], "scores": {"vector": vector} | words}


def explain(**plan: object) -> dict[str, Any]:
    return {"sealed_rows": 0, "plan": None} | plan


def citation(start: int, end: int, quote: str, at: int) -> dict[str, Any]:
    place = {"document_id": "a/b", "document_start": start, "document_end": end}
    return place | {"answer_start": at, "answer_end": at + 3, "quote": quote}


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    replies = iter(
        [
            httpx.Response(429, headers={"retry-after": "0"}),
            httpx.Response(503, headers={"retry-after": "soon"}),
            httpx.Response(200, json={"n": 1}),
        ]
    )
    assert asker(lambda _: next(replies)).post("/v1/search", {}).body == {"n": 1}
    assert next(replies, None) is None


def test_a_refusal_is_not_asked_again() -> None:
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(422, json={"detail": "hybrid: Extra inputs are not permitted"})

    with pytest.raises(RefusedError, match="422: hybrid: Extra inputs"):
        asker(handle).post("/v1/search", {})
    assert len(seen) == 1


def test_what_is_no_server_of_ours_is_said() -> None:
    with pytest.raises(RefusedError, match="200: something that is no JSON"):
        asker(lambda _: httpx.Response(200, text="<html>")).post("/v1/search", {})


def test_results_come_in_order_and_only_so_many_are_out() -> None:
    running, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2)

    def ask(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if number < 2:
            both.wait(100)
        with lock:
            running -= 1
        return -number

    taken: list[int] = []
    items = (taken.append(number) or number for number in range(50))
    assert asker(lambda _: httpx.Response(200)).each("numbers", ask, items) == [-number for number in range(50)]
    assert most == 2


def test_what_fails_ends_it_before_everything_was_taken() -> None:
    taken: list[int] = []

    def ask(number: int) -> int:
        raise httpx.ConnectError("gone")

    with pytest.raises(httpx.ConnectError):
        asker(lambda _: httpx.Response(200)).each("numbers", ask, (taken.append(n) or n for n in range(1000)))
    assert len(taken) < 20


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("default", {}),
        ("dense", {"hybrid": {"enabled": False}}),
        ("hybrid", {"hybrid": {"enabled": True}}),
        ("hybrid:0.25", {"hybrid": {"enabled": True, "weight": 0.25}}),
        ("lexical", {"hybrid": {"enabled": True, "weight": 0.0}}),
    ],
)
def test_a_way_is_what_a_request_says(name: str, fields: dict[str, Any]) -> None:
    bodies = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"chunks": CHUNKS, "explain": explain()})

    search_all(asker(handle), SearchTask("docs", Way.named(name), 30), [Query("q", "Which?")])
    assert bodies == [{"query": "Which?", "collection": "docs", "top_k": 30, "explain": True} | fields]


def test_reciprocal_ranks_are_of_both_single_searches() -> None:
    lists = {
        # In the server's order b#0 stands behind, as a repeated document does.
        "dense": [listed("a#0", 0.9), listed("c#0", 0.7), listed("b#0", 0.8)],
        # What only vectors found stands behind what has the words, and is not of their list.
        "lexical": [listed("c#0", 0.7, 5.0), listed("a#1", 0.1, 2.0), listed("b#0", 0.8, 0.0)],
    }

    def handle(request: httpx.Request) -> httpx.Response:
        way = "lexical" if json.loads(request.content)["hybrid"]["enabled"] else "dense"
        return httpx.Response(200, json={"chunks": lists[way], "explain": explain(), "degraded": [way]})

    way = Way.named("rrf")
    (found,) = search_all(asker(handle), SearchTask("docs", way, 30), [Query("q", "Which?")]).found
    assert found.chunks == ("c#0", "a#0", "b#0", "a#1")  # 1/63 + 1/61, 1/61, 1/62 and 1/62
    assert (found.documents, found.degraded, way.answers) == (("c", "a", "b"), ("dense", "lexical"), False)


@pytest.mark.parametrize("name", ["", "sparse", "hybrid:", "hybrid:2", "hybrid:nan", "0.5", "dense:0.5"])
def test_a_way_that_is_none(name: str) -> None:
    with pytest.raises(UnknownWayError, match=f"--way {name!r} is not one of default, dense"):
        Way.named(name)


def test_the_best_chunk_of_a_document_gives_its_place() -> None:
    replies = {
        "tail": {"chunks": CHUNKS, "explain": explain(), "degraded": ["lexical"]},
        "lists": {"chunks": [], "explain": explain(sealed_rows=9, plan={"way": "lists"})},
        "scan": {"chunks": [], "explain": explain(sealed_rows=9, plan={"way": "scan"})},
        "hidden": {"chunks": [], "explain": explain(sealed_rows=None)},
    }

    def handle(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)["query"]
        return httpx.Response(200, json=replies[asked]) if asked in replies else httpx.Response(400)

    queries = [Query(name, name) for name in (*replies, "refused")]
    done = search_all(asker(handle), SearchTask("docs", Way.named("default"), 10), queries)
    first = done.found[0]
    assert (first.chunks, first.documents, first.degraded) == (("a#0", "b#1", "a#2"), ("a", "b"), ("lexical",))
    assert [each.is_exact for each in done.found] == [True, False, True, None]
    assert share_by_lists(done) == 0.25
    assert done.failures == (Failure("refused", "the server says 400: Bad Request"),)
    assert done.rankings["refused"] == ()


def test_an_answer_is_read_without_its_markers_and_its_spans_are_looked_up() -> None:
    cited = [citation(8, 25, "It grinds barley.", 18) | {"score": 1.5}, citation(0, 7, "A mill.", 30)]
    body = {
        "status": "ok",
        "answer": "It grinds barley. [1] A mill. [2]",
        "citations": cited,
        "chunks": CHUNKS,
        "degraded": [],
    }
    paths = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json=body if request.method == "POST" else {"text": TEXT})

    question = Question("answerable", Query("q", "What does it do?"))
    interview = Interview(asker(handle), "docs", Way.named("default"), "extractive")
    (answered,) = interview.ask_all([question]).answered
    assert answered == Answered(
        question,
        is_answer=True,
        text="It grinds barley.  A mill. ",
        citations=(Citation("It grinds barley.", True, 1.5), Citation("A mill.", False)),
        confidence=0.6,
        seconds=answered.seconds,
        degraded=(),
    )
    assert paths == ["/v1/query", "/v1/collections/docs/documents/a%2Fb"]  # read once


def test_what_is_no_answer_has_no_text() -> None:
    body = {"status": "no_answer", "answer": "Not in here.", "citations": [], "chunks": [], "degraded": []}
    question = Question("foreign", Query("q", "Who?"))
    interview = Interview(asker(lambda _: httpx.Response(200, json=body)), "docs", Way.named("default"), "extractive")
    (answered,) = interview.ask_all([question]).answered
    assert (answered.is_answer, answered.text, answered.confidence) == (False, "", None)
    body |= {"confidence": 0.25}
    assert interview.ask_all([question]).answered[0].confidence == 0.25


def test_agreement_is_counted_where_both_found_something() -> None:
    def found(query: str, *chunks: str) -> Found:
        return Found(query, chunks, (), 0.1, True)

    exact = Searches((found("q", "a", "b", "c", "d"), found("r", "a"), found("s"), found("t", "a")), ())
    compressed = Searches((found("r", "b"), found("q", "b", "a", "x", "c"), found("s", "a")), ())
    agreement = fidelity(exact, compressed, 10)
    assert (agreement.name, agreement.ids, agreement.values.tolist()) == ("overlap@10", ("q", "r"), [0.75, 0.0])
    assert fidelity(exact, compressed, 2).values.tolist() == [1.0, 0.0]
