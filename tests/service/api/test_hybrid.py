"""Words beside vectors, on the routes that ask."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from indexes.base import Hit, Hybrid, SearchParams, Vectors
from indexes.local_collection import LocalCollection
from indexes.searched import Searched
from service.settings import RetrievalSettings
from three_routes import ANSWERING, INSIDE, QUESTION, ROUTES, asked, told

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

TEXTS = {"bees": "The honey bees of the meadow sleep in winter.", "clover": "The clover of the meadow wakes up in May."}
WEIGHT = RetrievalSettings().dense_weight


class Words:
    """Looks for words in what a search by vectors found, in the place of an index of them.

    Attributes:
        asked: what each search was to look for.
        missing: why words cannot be looked for; None while they can.
        bonus: what every chunk has beside the words it shares.
        took: seconds of the search for words and of the fusion, of each search that made them.
    """

    def __init__(self) -> None:
        self.asked: list[Hybrid | None] = []
        self.missing: str | None = None
        self.bonus = 0.0
        self.took: list[tuple[float, float]] = []
        self._search = LocalCollection.searched

    def searched(self, collection: LocalCollection, query: Vectors, params: SearchParams) -> Searched:
        self.asked.append(params.hybrid)
        found = self._search(collection, query, replace(params, hybrid=None))
        if params.hybrid is None:
            return found
        if self.missing is not None:
            return replace(found, without_lexical=self.missing)
        start = time.perf_counter()
        hits = [self._scored(hit, params.hybrid) for hit in found.hits]
        scored = time.perf_counter()
        hits.sort(key=lambda hit: -hit.score)
        self.took.append((scored - start, time.perf_counter() - scored))
        return replace(found, hits=hits, lexical_s=self.took[-1][0], fusion_s=self.took[-1][1])

    def _scored(self, hit: Hit, hybrid: Hybrid) -> Hit:
        lexical = self.bonus + len(set(hybrid.text.lower().split()) & set(hit.chunk.text.lower().split()))
        score = hybrid.weight * hit.scores["vector"] + (1 - hybrid.weight) * lexical
        return replace(hit, score=score, scores={**hit.scores, "lexical": lexical})


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    """What every search looks for words with."""
    words = Words()

    def searched(collection: LocalCollection, query: Vectors, params: SearchParams) -> Searched:
        return words.searched(collection, query, params)

    monkeypatch.setattr(LocalCollection, "searched", searched)
    return words


@pytest.fixture
def docs(words: Words, open_api: OpenApi) -> Iterator[Callable[..., httpx.Client]]:
    """(**settings) -> the application with two short documents."""
    opened: list[AbstractContextManager[httpx.Client]] = []

    def start(**settings: object) -> httpx.Client:
        opened.append(open_api(**settings))
        api = opened[-1].__enter__()
        for document, text in TEXTS.items():
            assert api.put(f"/v1/collections/docs/documents/{document}", json={"text": text}).status_code == 201
        return api

    yield start
    for api in opened:
        api.__exit__(None, None, None)


@pytest.fixture
def api(docs: Callable[..., httpx.Client]) -> httpx.Client:
    return docs()


@pytest.mark.parametrize("route", ROUTES)
def test_words_are_looked_for_as_the_query_was_prepared(api: httpx.Client, words: Words, route: str) -> None:
    chunks = told(asked(api, route, "  When do the\u200b honey   bees sleep? "))["chunks"]
    assert words.asked == [Hybrid(QUESTION, WEIGHT)]
    assert {name for chunk in chunks for name in chunk["scores"]} == {"vector", "lexical"}
    best = chunks[0]["scores"]
    assert chunks[0]["score"] == pytest.approx(WEIGHT * best["vector"] + (1 - WEIGHT) * best["lexical"])


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_decides_for_itself(api: httpx.Client, words: Words, route: str) -> None:
    for hybrid in ({"enabled": False}, {"enabled": True, "weight": 0}, {"enabled": True, "weight": 0.2}, None):
        chunks = told(asked(api, route, hybrid=hybrid))["chunks"]
        assert ("lexical" in chunks[0]["scores"]) == (hybrid != {"enabled": False})
    assert words.asked == [None, Hybrid(QUESTION, 0), Hybrid(QUESTION, 0.2), Hybrid(QUESTION, WEIGHT)]


def test_a_server_may_look_for_no_words_unless_it_is_told_to(docs: Callable[..., httpx.Client], words: Words) -> None:
    api = docs(retrieval={"hybrid": False, "dense_weight": 0.75})
    assert set(told(asked(api, "/v1/search"))["chunks"][0]["scores"]) == {"vector"}
    told(asked(api, "/v1/search", hybrid={"enabled": True}))
    assert words.asked == [None, Hybrid(QUESTION, 0.75)]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("hybrid", "refusal"),
    [
        ({}, ("hybrid.enabled", "required")),
        ({"weight": 0.5}, ("hybrid.enabled", "required")),
        ({"enabled": False, "weight": 0.5}, ("hybrid", "leave weight out")),
        ({"enabled": True, "weight": 1.01}, ("hybrid.weight", "less than or equal to 1")),
        ({"enabled": True, "weight": -0.1}, ("hybrid.weight", "greater than or equal to 0")),
        ({"enabled": True, "weight": "0.5"}, ("hybrid.weight", "valid number")),
        ({"enabled": 1}, ("hybrid.enabled", "boolean")),
        ({"enabled": True, "alpha": 0.5}, ("hybrid.alpha", "not permitted")),
        (True, ("hybrid", "object")),
    ],
)
def test_what_no_hybrid_is(
    api: httpx.Client, problem: Problem, words: Words, route: str, hybrid: object, refusal: tuple[str, str]
) -> None:
    param, said = refusal
    refused = problem(asked(api, route, hybrid=hybrid), 422, "invalid_request")
    assert refused["error"]["param"].removeprefix("rag.") == param
    assert said in refused["detail"]
    assert words.asked == []


@pytest.mark.parametrize("route", ROUTES)
def test_the_time_of_words_is_a_stage_of_its_own(api: httpx.Client, words: Words, route: str) -> None:
    reply = asked(api, route)
    timings = told(reply)["timings_ms"]
    assert [timings["lexical"], timings["fusion"]] == [round(1000 * took, 3) for took in words.took[-1]]
    stages = [took for stage, took in timings.items() if stage not in INSIDE]
    assert min(stages) >= 0
    assert timings["total"] == pytest.approx(sum(stages), abs=0.001 * (1 + len(stages)))
    assert {"lexical;dur=", "fusion;dur="} <= {f"{entry.split('=')[0]}=" for entry in timing_of(reply)}
    metrics = api.get("/metrics").text
    assert 'quarry_stage_seconds_count{stage="lexical"} 1.0' in metrics
    assert 'quarry_stage_seconds_count{stage="fusion"} 1.0' in metrics
    alone = told(asked(api, route, hybrid={"enabled": False}))["timings_ms"]
    assert not {"lexical", "fusion"} & set(alone)


def timing_of(reply: httpx.Response) -> list[str]:
    return reply.headers["server-timing"].split(", ")


REASON = "building"


@pytest.mark.parametrize("route", ANSWERING)
def test_an_answer_without_words_says_so(api: httpx.Client, words: Words, route: str) -> None:
    words.missing = REASON
    reply = told(asked(api, route))
    assert (reply["status"], reply["degraded"]) == ("partial", ["lexical"])
    assert [chunk["document_id"] for chunk in reply["chunks"]] == ["bees", "clover"]
    assert reply["citations"][0]["quote"] == TEXTS["bees"]
    assert reply["warnings"] == [
        {"code": "lexical_unavailable", "message": "words were not looked for: their index is 'building'"}
    ]
    metrics = api.get("/metrics").text
    assert f'quarry_searches_without_lexical_total{{reason="{REASON}"}} 1.0' in metrics
    assert 'quarry_degraded_total{rung="lexical"} 1.0' in metrics
    told(asked(api, route, hybrid={"enabled": False}, on_failure="fail"))  # who wants none misses none
    assert f'{{reason="{REASON}"}} 1.0' in api.get("/metrics").text


def test_a_stream_without_words_says_so(api: httpx.Client, words: Words) -> None:
    words.missing = REASON
    frames = [frame.split("\n") for frame in asked(api, "/v1/query", stream=True).text.split("\n\n") if frame]
    events = {name.removeprefix("event: "): json.loads(data.removeprefix("data: ")) for name, data in frames}
    assert [warning["code"] for warning in events["retrieval"]["warnings"]] == ["lexical_unavailable"]
    assert (events["done"]["status"], events["done"]["degraded"]) == ("partial", ["lexical"])
    assert {"lexical", "fusion"} <= set(events["done"]["timings_ms"])


def test_a_search_without_words_warns(api: httpx.Client, words: Words) -> None:
    assert told(asked(api, "/v1/search"))["warnings"] == []
    words.missing = REASON
    reply = told(asked(api, "/v1/search"))
    assert [warning["code"] for warning in reply["warnings"]] == ["lexical_unavailable"]
    assert len(reply["chunks"]) == 2
    told(asked(api, "/v1/query", generate=False))
    assert 'quarry_degraded_total{rung="lexical"} 1.0' in api.get("/metrics").text


@pytest.mark.parametrize("route", ROUTES)
def test_who_wants_it_all_or_nothing_gets_an_error(
    api: httpx.Client, words: Words, problem: Problem, route: str
) -> None:
    words.missing = REASON
    failed = problem(asked(api, route, on_failure="fail"), 503, "lexical_unavailable")
    assert (failed["stage"], failed["retryable"]) == ("lexical", True)
    assert failed["detail"] == "the words of collection 'docs' cannot be looked for: their index is 'building'"
    words.missing = None
    told(asked(api, route, on_failure="fail"))


@pytest.mark.parametrize("route", ANSWERING)
def test_what_was_not_looked_for_is_not_said_to_be_nowhere(api: httpx.Client, words: Words, route: str) -> None:
    assert told(asked(api, route, "zebra crossing"))["status"] == "no_answer"
    words.missing = REASON
    reply = asked(api, route, "zebra crossing")
    assert (told(reply)["status"], told(reply)["no_answer_reason"]) == ("partial", None)
    body = reply.json()
    assert (body["choices"][0]["message"]["content"] if "choices" in body else body["answer"]) == ""


@pytest.mark.parametrize("route", ANSWERING)
def test_an_answer_is_dared_by_the_cosine_whatever_the_words_say(api: httpx.Client, words: Words, route: str) -> None:
    words.bonus = 10.0
    reply = told(asked(api, route, "zebra crossing"))
    assert all(chunk["score"] > 1 and chunk["scores"]["vector"] < 0.3 for chunk in reply["chunks"])
    assert (len(reply["chunks"]), reply["status"]) == (2, "no_answer")
