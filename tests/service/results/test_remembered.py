"""What is remembered of a question: under a name that tells all it depends on, and only if nothing was left out."""

import asyncio
import base64
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
import orjson
import pytest

from indexes.base import Boost, Chunk, Hit, Hybrid, SearchParams
from indexes.collection import Collection
from indexes.filters import parse_filter
from indexes.searched import Searched
from service.budget import Deadline
from service.passages import Chosen
from service.plan import Plan
from service.preprocessing import Prepared
from service.question import Question, ReadQuery, Retrieval
from service.reordered import Reordered
from service.results.asked import Asked
from service.results.remembered import RememberedResults
from service.results.result import Result
from service.telemetry.metrics import Metrics

RED = parse_filter({"type": "eq", "key": "tenant", "value": "red"})
BLUE = parse_filter({"type": "eq", "key": "tenant", "value": "blue"})
NO_NUMBERS = base64.b64encode(np.full(3, np.nan, "<f4").tobytes()).decode()
HIT = Hit(Chunk("a", 0, "text", 0, 4), "title", None, 0.5, {"vector": 0.25}, 1.0, 7)
SEARCHED = Searched([HIT], 3, plan=None, sealed_rows=None, tail_rows=1)
PARAMS = SearchParams()


class Named:
    """Of a collection what a name is made of."""

    def __init__(self, identity: str = "one", *, is_behind: bool = False) -> None:
        self.identity = identity
        self.is_behind = is_behind


def asked(params: SearchParams = PARAMS, collection: Named | None = None, **more: Any) -> Asked:  # noqa: ANN401
    of_question = {name: more.pop(name) for name in ("realm", "dense_weight", "candidates") if name in more}
    question = Question("a question", "docs", params, Deadline.after(60_000), **of_question)
    known = {"text": "a question", "version": 3, "embedder": ("f", "float32"), "reranker": "r", "repeat_penalty": 0.1}
    there = cast(Collection, collection or Named())
    return Asked(question=question, collection=there, **(known | more))


CHANGED: dict[str, Any] = {
    "top_k": 11,
    "score_threshold": 0.1,
    "nprobe": 3,
    "refine": 3,
    "filter": RED,
    "required": RED,
    "boosts": (Boost(RED, 0.2),),
}


def test_a_name_tells_everything_that_the_result_depends_on() -> None:
    others = {name: asked(replace(PARAMS, **{name: value})) for name, value in CHANGED.items()}
    others |= {
        "other filter": asked(replace(PARAMS, filter=BLUE)),
        "other boost": asked(replace(PARAMS, boosts=(Boost(RED, 0.3),))),
        "collection": asked(collection=Named("other")),
        "version": asked(version=4),
        "realm": asked(realm="key:1"),
        "text": asked(text="another question"),
        "embedder": asked(embedder=("f", "bfloat16")),
        "reranker": asked(reranker=None),
        "repeat_penalty": asked(repeat_penalty=0.2),
        "dense_weight": asked(dense_weight=0.5),
        "candidates": asked(candidates=20),
    }
    names = {name: other.name for name, other in others.items()} | {"none of it": asked().name}
    assert len(set(names.values())) == len(names)
    assert asked().name == asked().name
    assert set(CHANGED) | {"explain", "hybrid"} == {field.name for field in fields(SearchParams)}, (
        "hybrid: dense_weight"
    )


def test_an_explanation_is_that_of_a_search_and_so_is_a_collection_that_lost_track() -> None:
    assert asked().is_plain
    assert asked(replace(PARAMS, hybrid=Hybrid("a", 0.5))).is_plain
    assert not asked(replace(PARAMS, explain=True)).is_plain
    assert not asked(collection=Named(is_behind=True)).is_plain


def retrieval(searched: Searched = SEARCHED, reordered: Reordered | None = None) -> Retrieval:
    plan = Plan(rewriter=None, generator=None, passages=1, max_tokens=1)
    read = ReadQuery(Prepared("a question"), "", 4, 128)
    vector = np.array([0.5, -0.25, 3.0], np.float32)
    return Retrieval(plan, cast(Collection, Named()), searched, read, vector, 10, Chosen(), reordered)


class Noting:
    """A store that keeps nothing."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def get(self, name: str) -> bytes | Any:  # noqa: ANN401
        return "miss"

    async def put(self, name: str, value: bytes) -> None:
        self.values.append(value)


def remembered(given: Retrieval, *, reranker: str | None = None) -> list[bytes]:
    store = Noting()
    results = RememberedResults(store, cast(Any, None), Metrics().results)
    asyncio.run(results.remember(asked(reranker=reranker), given, [HIT, replace(HIT, scores={"vector": 0.75})]))
    return store.values


WHOLE = Reordered.of("m", [HIT], [1.0], 1, None)


def test_a_whole_result_is_remembered_and_read_as_it_was() -> None:
    for value in (*remembered(retrieval()), *remembered(retrieval(reordered=WHOLE), reranker="r")):
        result = Result.read(value, 10, 3)
        assert result is not None
        assert (result.rows, result.nearest, result.fetched, result.tokens) == ([7], 0.75, 10, 4)
        assert result.query_vector().tolist() == [0.5, -0.25, 3.0]
        assert b"text" not in value
        assert b"question" not in value
    assert remembered(retrieval())


@pytest.mark.parametrize(
    ("given", "reranker"),
    [
        (retrieval(replace(SEARCHED, version=4)), None),
        (retrieval(replace(SEARCHED, without_lexical="damaged")), None),
        (retrieval(replace(SEARCHED, failed={"missing": 1})), None),
        (retrieval(reordered=Reordered.of("m", [HIT], [], 1, "late")), "r"),
        (retrieval(reordered=Reordered.of("m", [HIT, HIT], [1.0], 2, "budget")), "r"),
        (retrieval(), "r"),
    ],
    ids=["moved", "without words", "unconfirmed", "not reranked", "cut", "no reranking"],
)
def test_what_is_degraded_or_of_another_version_is_not_remembered(given: Retrieval, reranker: str | None) -> None:
    assert remembered(given, reranker=reranker) == []


def test_what_is_no_result_of_such_a_search_is_none() -> None:
    (value,) = remembered(retrieval())
    good = orjson.loads(value)
    row = good["ranked"][0]
    bad: list[Any] = [
        None, [], {}, 7, good | {"form": 2}, good | {"more": 1}, good | {"ranked": [row, row]},
        good | {"vector": "AAAA"},
        good | {"vector": "no base64"}, good | {"vector": NO_NUMBERS}, good | {"tokens": -1},
        good | {"ranked": [row | {"row": "7"}]},
        good | {"ranked": [row | {"scores": {"secret": 1.0}}]},
        good | {"nearest": "high"}, good | {"ranked": [row | {"score": None}]},
    ]  # fmt: skip
    for each in bad:
        assert Result.read(orjson.dumps(each), 10, 3) is None, each
    for data in (b"", b"\0", value[:-1], b"\x80\x04K\x01.", value.replace(b"0.5", b"NaN", 1)):
        assert Result.read(data, 10, 3) is None, data
    assert Result.read(value, 0, 3) is None, "more than were asked for"
    assert Result.read(value, 10, 4) is None, "of another model"
    assert Result.read(value, 10, 3) is not None
