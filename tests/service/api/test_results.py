"""Results that are remembered: the same as if they were not, whatever is asked, written and deleted in between."""

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from redis_process import RedisProcess
from reranked import SERVED
from service.access.keys import Keys
from service.results.in_process import InProcessResults
from tenants.asking import ADMIN, RED, Asking, made

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

WORDS = ("boiler", "pump", "valve", "winter", "queen", "honey", "cold", "oak")
DOCUMENTS = "/v1/collections/docs/documents"


@pytest.fixture(params=["process", pytest.param("redis", marks=pytest.mark.cluster)])
def remembering(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings under which results are remembered."""
    if request.param == "process":
        return {"results": {"cache": "process"}}
    redis: RedisProcess = request.getfixturevalue("redis")
    return {"results": {"cache": "redis"}, "redis": redis.settings()}


@pytest.fixture
def chance() -> Iterator[random.Random]:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    return random.Random(seed)  # noqa: S311  nobody's secret


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randrange(3, 9)))


def put(api: httpx.Client, chance: random.Random, number: int) -> None:
    metadata = {"tenant": chance.choice(["red", "blue"]), "year": chance.randrange(2020, 2024)}
    body = {"text": text(chance), "title": f"T{number}", "metadata": metadata}
    assert api.put(f"{DOCUMENTS}/d{number}", json=body).status_code in {200, 201}


def asked(chance: random.Random) -> dict[str, Any]:
    """A search of a few that there may be, so that some are made again."""
    body: dict[str, Any] = {"query": " ".join(chance.sample(WORDS[:4], k=2)), "collection": "docs"}
    optional: dict[str, Any] = {
        "top_k": chance.choice([1, 3, 10]),
        "filters": {"type": "eq", "key": "tenant", "value": chance.choice(["red", "blue"])},
        "score_threshold": 0.2,
        "boost": [{"filter": {"type": "gte", "key": "year", "value": 2022}, "weight": 0.3}],
    }
    return body | {name: value for name, value in optional.items() if chance.random() < 0.3}


def found(api: httpx.Client, body: dict[str, Any], route: str = "/v1/search") -> dict[str, Any]:
    reply = api.post(route, json=body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """But for what is another in every reply."""
    kept = set(one) - {"id", "timings_ms", "explain"}
    return {name: one[name] for name in kept} == {name: other[name] for name in kept}


def lookups(api: httpx.Client, outcome: str) -> float:
    lines = api.get("/metrics").text.splitlines()
    sample = f'quarry_result_cache_lookups_total{{outcome="{outcome}"}}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(sample))


def test_remembered_results_are_those_of_a_search_over_random_requests_writes_and_deletes(
    open_api: OpenApi, remembering: dict[str, Any], chance: random.Random
) -> None:
    # By vectors alone: how much a word says changes as its index is brought to the disk, whatever is remembered.
    with open_api(retrieval={"hybrid": False}, **remembering) as api:
        for number in range(20):
            put(api, chance, number)
        for _ in range(250):
            match chance.randrange(20):
                case 0:
                    put(api, chance, chance.randrange(25))
                case 1:
                    api.delete(f"{DOCUMENTS}/d{chance.randrange(25)}")
            body = asked(chance)
            given = found(api, body)
            searched = found(api, body | {"explain": True})
            assert same(given, searched), "an explanation is one of a search made for it"
            assert same(given, found(api, body))
        assert lookups(api, "hit") >= 250, "the third of each is remembered"
        assert lookups(api, "miss") > 10
        assert lookups(api, "stale") == lookups(api, "invalid") == lookups(api, "lost") == 0


def test_answers_rest_on_the_same_and_replies_say_where_the_time_went(
    open_api: OpenApi, remembering: dict[str, Any]
) -> None:
    body = {"query": "When is the boiler cold?", "collection": "docs"}
    with open_api(**remembering) as api:
        assert api.put(f"{DOCUMENTS}/a", json={"text": "The boiler is cold in winter. The pump is not."}).is_success
        first, second = found(api, body, "/v1/query"), found(api, body, "/v1/query")
        assert first["answer"]
        assert same(first, second)
        assert same(first, found(api, body | {"explain": True}, "/v1/query"))
        assert {"cache", "embed", "search"} <= set(first["timings_ms"])
        assert "cache" in second["timings_ms"]
        assert {"embed", "search", "lexical"}.isdisjoint(second["timings_ms"])


def test_what_is_deleted_never_comes_back(open_api: OpenApi, remembering: dict[str, Any]) -> None:
    body = {"query": "boiler", "collection": "docs"}
    with open_api(**remembering) as api:
        for name in ("a", "b"):
            assert api.put(f"{DOCUMENTS}/{name}", json={"text": f"The boiler {name} is cold."}).is_success
        assert [len(found(api, body)["chunks"]) for _ in range(2)] == [2, 2]
        api.delete(f"{DOCUMENTS}/a")
        assert {chunk["document_id"] for _ in range(2) for chunk in found(api, body)["chunks"]} == {"b"}
        assert api.put(f"{DOCUMENTS}/a", json={"text": "The boiler a is warm."}).is_success
        texts = {chunk["text"] for _ in range(2) for chunk in found(api, body)["chunks"]}
        assert texts == {"The boiler a is warm.", "The boiler b is cold."}


def test_a_memory_that_names_other_rows_shows_nothing_that_a_search_would_not(
    open_api: OpenApi, monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    red = made(keys, "query", filter_=RED)
    with open_api(access={"admin_key": ADMIN}, results={"cache": "process"}) as http:
        ask, ask_red = Asking(http, ADMIN), Asking(http, red)
        for tenant in ("red", "blue"):
            body = {"text": f"The {tenant} boiler is cold.", "metadata": {"tenant": tenant}}
            assert ask("PUT", f"{DOCUMENTS}/{tenant}", json=body).is_success
        search = {"query": "boiler", "collection": "docs"}
        kept: list[bytes] = []
        put_there = InProcessResults.put

        async def noting(self: InProcessResults, name: str, value: bytes) -> None:
            kept.append(value)
            await put_there(self, name, value)

        monkeypatch.setattr(InProcessResults, "put", noting)
        assert len(ask("POST", "/v1/search", json=search).json()["chunks"]) == 2

        async def of_all(self: InProcessResults, name: str) -> bytes:
            return kept[0]

        monkeypatch.setattr(InProcessResults, "get", of_all)
        for _ in range(2):
            chunks = ask_red("POST", "/v1/search", json=search).json()["chunks"]
            assert [chunk["document_id"] for chunk in chunks] == ["red"]
        metrics = ask("GET", "/metrics").text
        assert 'quarry_result_cache_lookups_total{outcome="stale"} 2.0' in metrics


def test_nobody_is_given_what_another_was(open_api: OpenApi, remembering: dict[str, Any], keys: Keys) -> None:
    readers = [made(keys, "query"), made(keys, "query"), made(keys, "query", filter_=RED)]
    with open_api(access={"admin_key": ADMIN}, **remembering) as http:
        ask = Asking(http, ADMIN)
        for tenant in ("red", "blue"):
            body = {"text": f"The {tenant} boiler is cold.", "metadata": {"tenant": tenant}}
            assert ask("PUT", f"{DOCUMENTS}/{tenant}", json=body).is_success
        for reader in (*readers, ADMIN):
            replies = [Asking(http, reader)("POST", "/v1/search", json={"query": "boiler", "collection": "docs"})] * 1
            replies.append(Asking(http, reader)("POST", "/v1/search", json={"query": "boiler", "collection": "docs"}))
            assert ["search" in reply.json()["timings_ms"] for reply in replies] == [True, False]
            assert len(replies[1].json()["chunks"]) == (1 if reader == readers[2] else 2)


def test_a_reranked_order_is_remembered_with_its_scores(
    open_api: OpenApi, read: list[str], remembering: dict[str, Any]
) -> None:
    body = {"query": "boiler", "collection": "docs", "top_k": 2}
    with open_api(rerank=SERVED, budgets={"rerank_ms": None}, **remembering) as api:
        for number in range(6):
            text_ = "The boiler is cold." + " It is" * number
            assert api.put(f"{DOCUMENTS}/d{number}", json={"text": text_}).is_success
        first = found(api, body)
        assert read, "it was reranked"
        read.clear()
        assert same(first, found(api, body))
        assert read == [], "nothing was reranked again"
        assert all("rerank" in chunk["scores"] for chunk in first["chunks"])
        plain = body | {"rerank": {"enabled": False}}
        assert same(found(api, plain), found(api, plain))
        assert lookups(api, "hit") == 2


@pytest.mark.cluster
def test_what_others_write_to_redis_is_no_result(open_api: OpenApi, redis: RedisProcess) -> None:
    body = {"query": "boiler", "collection": "docs"}
    with open_api(results={"cache": "redis"}, redis=redis.settings()) as api:
        assert api.put(f"{DOCUMENTS}/a", json={"text": "The boiler is cold."}).is_success
        first, client = found(api, body), redis.client()
        (place,) = client.hkeys("quarry:results:values")
        good = client.hget("quarry:results:values", place)
        assert b"boiler" not in good
        assert b"cold" not in good
        for bad in (b"", b"{}", good[:-2], b"\x80\x04K\x01.", b"x" * 100_000):
            client.hset("quarry:results:values", place, bad)
            assert same(first, found(api, body)), "a search finds it"
        assert lookups(api, "invalid") == 5
        redis.kill()
        for _ in range(3):
            assert same(first, found(api, body))
        assert lookups(api, "lost") == 3
        assert api.get("/readyz").json() == {"status": "ready", "reasons": [], "degraded": ["redis"]}
        assert api.get("/v1/status").json()["redis"]["state"] == "lost"


def test_nothing_is_remembered_by_default(api: httpx.Client, tmp_path: Path) -> None:
    assert api.put(f"{DOCUMENTS}/a", json={"text": "The boiler is cold."}).is_success
    for _ in range(2):
        assert "cache" not in found(api, {"query": "boiler", "collection": "docs"})["timings_ms"]
    assert lookups(api, "hit") == lookups(api, "miss") == 0
