"""Whatever is tried with a key, nothing is seen or changed that the key does not grant."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.cross_encoder import CrossEncoderReranker
from overlap import Overlap
from service.access.keys import Keys
from service.library import Library
from tenants.estate import ALIASES, COLLECTIONS, OWN_ALIAS, Estate, Holder, holders, planted
from tenants.intruder import Intruder, Try

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
SEED = int(os.environ.get("SEED", "20261125"))
REQUESTS = int(os.environ.get("REQUESTS", "1500"))
READINGS = 200
ADMIN = "an admin key of more than thirty-two characters"
# Of a reply; what is left of it depends on nothing but what was asked and on the documents.
OF_ITS_OWN = frozenset({"id", "created", "created_at", "index_version", "instance", "request_id", "timings_ms"})
_ANSWER = b'data: {"choices":[{"delta":{"content":"Yes [1]."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
_MISSES = re.compile(r'^quarry_query_cache_lookups_total{outcome="miss"} (\S+)', re.MULTILINE)


@pytest.fixture
def estate(
    open_api: OpenApi, language_model: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Estate]:
    """With a language model, a reranker that has all the time, and a collection that is named as damaged."""
    made = holders(Keys(tmp_path / "data"))
    monkeypatch.setattr(Library, "damaged", lambda _: ["vault-kqzx"])
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: Overlap())
    timeless = {"rerank": {"model": "overlap"}, "budgets": {"rerank_ms": None}}
    llm = {"small": {"url": language_model([_ANSWER]), "model": "small", "server": "vllm"}}
    with open_api(access={"admin_key": ADMIN}, llm=llm, answer={"min_score": -1}, **timeless) as http:
        estate = Estate(http, ADMIN, planted(SEED), made)
        estate.fill()
        yield estate


@dataclass
class Watch:
    """What came of the requests so far.

    Attributes:
        hidden: words that a holder must not be told, by its name.
        salts: names of the holders for whom prompts are remembered under a salt.
        asked: a holder's name and its question, of those that were answered.
    """

    estate: Estate
    prompts: list[dict[str, Any]]
    hidden: dict[str, set[str]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    salts: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.hidden = {holder.name: set(self.estate.canaries_hidden_from(holder)) for holder in self.estate.holders}
        self._ids = {document.canaries[0] for document in self.estate.documents}

    def try_(self, holder: Holder, tried: Try) -> list[str]:
        """Make a request; what the reply, or the language model, is told that it must not be."""
        self.prompts.clear()
        reply = self.estate.asked(holder.key, tried.method, tried.path, **tried.body)
        self.statuses[reply.status_code] += 1
        assert reply.status_code < 500, f"{holder.name}: {tried}: {reply.text}"
        if tried.question is not None and reply.is_success:
            self.asked.add((holder.name, tried.question))
        for prompt in self.prompts:
            self.salts[prompt.get("cache_salt", "")].add(holder.name)
        told = f"{reply.headers} {reply.text} {self.prompts}"
        said = {word for word in self.hidden[holder.name] if tried.says(word)}
        leaked = [word for word in self.hidden[holder.name] - said if word in told]
        if tried.method != "GET":
            self.hidden[holder.name] -= said & self._ids  # its own jobs may name them from now on
        return leaked


@pytest.mark.timeout(1800)
def test_random_requests_show_and_change_nothing_that_is_hidden(
    estate: Estate, llm_requests: list[dict[str, Any]]
) -> None:
    intruder, watch = Intruder(estate, SEED), Watch(estate, llm_requests)
    for number in range(REQUESTS):
        holder = estate.holders[number % len(estate.holders)]
        tried = intruder.draw(holder)
        leaked = watch.try_(holder, tried)
        assert not leaked, f"seed {SEED}, request {number}: {holder.name} learns {leaked} by {tried}"
    assert min(watch.statuses[status] for status in (200, 403, 404)) > REQUESTS // 50, watch.statuses
    _assert_untouched(estate)
    shared = [names for names in watch.salts.values() if len(names) > 1]
    assert watch.salts
    assert not shared, f"prompts are remembered together for {shared}"
    (misses,) = _MISSES.findall(estate.asked(ADMIN, "GET", "/metrics").text)
    assert float(misses) >= len(watch.asked) > 20, "a question was fast as another had asked it"


def _assert_untouched(estate: Estate) -> None:
    """Documents that whoever may replace them cannot see are as they were, and so are the names."""
    writers = [holder for holder in estate.holders if holder.writes_by_filter]
    untouchable = [each for each in estate.documents if not any(holder.sees(each) for holder in writers)]
    assert len(untouchable) >= 20
    for document in untouchable:
        stored = estate.asked(estate.admin, "GET", f"/v1/collections/{document.collection}/documents/{document.id}")
        assert stored.is_success, f"{document.collection}/{document.id}: {stored.text}"
        assert stored.json()["text"] == document.body["text"]
        assert stored.json()["metadata"] == document.body["metadata"]
    aliases = estate.asked(estate.admin, "GET", "/v1/aliases").json()["data"]
    named = {entry["name"]: entry["collection"] for entry in aliases}
    assert named.pop(OWN_ALIAS, "alpha") == "alpha"
    assert named == ALIASES
    collections = estate.asked(estate.admin, "GET", "/v1/collections").json()["data"]
    assert {entry["name"] for entry in collections} == set(COLLECTIONS)


@pytest.mark.parametrize("name", ["red of alpha", "red everywhere", "blue of beta"])
def test_what_is_hidden_makes_no_difference(estate: Estate, name: str) -> None:
    """No number in a reply, nor anything else of it, is another one when the hidden documents are gone."""
    (holder,) = [holder for holder in estate.holders if holder.name == name]
    intruder = Intruder(estate, SEED)
    tries = [tried for tried in (intruder.draw(holder) for _ in range(2 * READINGS)) if tried.only_reads]
    tries += [Try("GET", f"/v1/collections/{collection}") for collection in COLLECTIONS]
    before = [_told(estate, holder, tried) for tried in tries]
    assert sum(status == 200 for status, _ in before) > READINGS // 4
    for document in estate.documents:
        if not holder.sees(document):
            path = f"/v1/collections/{document.collection}/documents/{document.id}"
            assert estate.asked(ADMIN, "DELETE", path).json()["deleted"] == 1
    for collection in COLLECTIONS:  # their rows go too
        assert estate.asked(ADMIN, "POST", f"/v1/collections/{collection}:rebuild", json={}).is_success
    for tried, told in zip(tries, before, strict=True):
        assert _told(estate, holder, tried) == told, f"seed {SEED}: {tried}"


def _told(estate: Estate, holder: Holder, tried: Try) -> tuple[int, object]:
    reply = estate.asked(holder.key, tried.method, tried.path, **tried.body)
    is_json = reply.headers.get("content-type", "").split(";")[0].endswith("json")
    return reply.status_code, _timeless(reply.json()) if is_json else reply.text


def _timeless(value: object, *, is_top: bool = True) -> object:
    if isinstance(value, dict):
        left = OF_ITS_OWN if is_top else OF_ITS_OWN - {"id"}
        return {key: _timeless(each, is_top=False) for key, each in value.items() if key not in left}
    return [_timeless(each, is_top=False) for each in value] if isinstance(value, list) else value
