"""POST /v1/embeddings: what is asked for is what comes back, and what is nonsense is told apart."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from models.base import TextKind
from models.hashing import HashingEmbedder
from models.transformer import TransformerEmbedder

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Scripted = Callable[..., Any]

JSON = {"content-type": "application/json"}
TEXTS = ["Honey bees sleep in winter.", "Wasps never sleep", "!!!"]


def vectors_of(response: httpx.Response) -> Any:  # noqa: ANN401
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [(item["object"], item["index"]) for item in data] == [("embedding", i) for i in range(len(data))]
    return np.array([item["embedding"] for item in data], np.float32)


def expected(texts: list[str], kind: TextKind = TextKind.DOCUMENT) -> Any:  # noqa: ANN401
    hashing = HashingEmbedder()
    return hashing.embed(hashing.tokenize(texts, kind))


def sent(api: httpx.Client, given: object, **fields: object) -> httpx.Response:
    return api.post("/v1/embeddings", json={"input": given} | fields)


def test_a_list_of_texts(api: httpx.Client) -> None:
    response = sent(api, TEXTS, model="hashing")
    np.testing.assert_array_equal(vectors_of(response), expected(TEXTS))
    body = response.json()
    assert set(body) == {"object", "data", "model", "usage"}
    assert (body["object"], body["model"]) == ("list", "hashing")
    assert body["usage"] == {"prompt_tokens": 8, "total_tokens": 8}  # 5 words, 3 words, none
    assert response.headers["content-type"] == "application/json"


def test_one_text_and_no_model(api: httpx.Client) -> None:
    response = sent(api, TEXTS[0])
    np.testing.assert_array_equal(vectors_of(response), expected(TEXTS[:1]))
    assert response.json()["model"] == "hashing"


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], [f"text number {n} " * 20 for n in range(200)]])
def test_base64_and_float_are_the_same_numbers(api: httpx.Client, texts: list[str]) -> None:
    numbers = vectors_of(sent(api, texts, encoding_format="float"))
    coded = sent(api, texts, encoding_format="base64").json()["data"]
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in coded]
    np.testing.assert_array_equal(np.stack(decoded), numbers)
    np.testing.assert_array_equal(numbers, expected(texts))
    np.testing.assert_array_equal(vectors_of(sent(api, texts, encoding_format=None)), numbers)


def test_usage_is_what_the_tokenizer_counted(open_api: OpenApi) -> None:
    hashing = HashingEmbedder(max_tokens=4)
    texts = ["one two three four five six", "one", "é è ê"]
    with open_api(hashing) as api:
        assert sent(api, texts).json()["usage"] == {"prompt_tokens": 4 + 1 + 3, "total_tokens": 8}


def test_vendor_fields_are_ignored(api: httpx.Client) -> None:
    response = sent(api, ["a"], user="u-1", truncate="END", extra_body={"x": [1]}, normalize=True, embed={})
    np.testing.assert_array_equal(vectors_of(response), expected(["a"]))


@pytest.mark.parametrize("dimensions", [1, 2, 63, 64, None])
@pytest.mark.parametrize("given", [TEXTS, TEXTS[:1]])
def test_dimensions(api: httpx.Client, given: list[str], dimensions: int | None) -> None:
    for _ in range(2):
        cut = vectors_of(sent(api, given, dimensions=dimensions, model="hashing-query"))
        whole = expected(given)[:, :dimensions]
        norms = np.linalg.norm(whole, axis=1, keepdims=True)
        np.testing.assert_allclose(cut, whole / np.where(norms == 0, 1, norms), atol=1e-6)
        assert cut.shape[1] == (dimensions or 64)
        assert np.isfinite(cut).all()


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_dimensions_of_a_query_that_is_known_leave_the_cache_alone(api: httpx.Client, encoding: str) -> None:
    asked = {"input_type": "query", "encoding_format": encoding}
    whole = sent(api, TEXTS[0], **asked).json()["data"]
    first = sent(api, TEXTS[0], dimensions=3, **asked).json()["data"]
    assert sent(api, TEXTS[0], dimensions=3, **asked).json()["data"] == first
    assert sent(api, TEXTS[0], **asked).json()["data"] == whole


def test_a_model_that_says_where_it_may_be_cut(open_api: OpenApi, problem: Problem) -> None:
    matryoshka = HashingEmbedder()
    matryoshka.info = replace(matryoshka.info, matryoshka=(16, 32))
    with open_api(matryoshka) as api:
        for dimensions in (16, 32, 64):
            assert vectors_of(sent(api, TEXTS, dimensions=dimensions)).shape == (3, dimensions)
        body = problem(sent(api, TEXTS, dimensions=17), 400, "invalid_request")
        assert body["detail"] == "dimensions is 17; 'hashing' can be cut to 16, 32, 64"
        assert body["error"]["param"] == "dimensions"


BAD_INPUTS = [
    ("token ids", [[101, 7592, 102]], 400, "check_embedding_ctx_length=False"),
    ("one text of token ids", [101, 7592, 102], 400, "check_embedding_ctx_length=False"),
    ("a long text of token ids", [101] * 3000, 400, "check_embedding_ctx_length=False"),
    ("token ids later", ["a", [101]], 400, "input[1] is made of token ids"),
    ("nested", [["a", "b"]], 400, "input[0]"),
    ("nested and empty", [[]], 400, "input[0]"),
    ("empty string", "", 400, "input[0] is an empty string"),
    ("an empty string among others", ["a", ""], 400, "input[1] is an empty string"),
    ("empty list", [], 400, "input is empty"),
    ("a number", 7, 422, "input"),
    ("a float in the list", ["a", 1.5], 400, "input[1] is not a string"),
    ("null", None, 422, "input"),
    ("null in the list", ["a", None], 400, "input[1] is not a string"),
    ("an object", {"text": "a"}, 422, "input"),
    ("an object in the list", [{"text": "a"}], 400, "input[0] is not a string"),
    ("true", True, 422, "input"),
    ("true in the list", [True], 400, "input[0]"),
    ("a lone surrogate", "a\ud800", 400, "input[0] has half of a surrogate pair at offset 1"),
    ("a lone surrogate in the list", ["a", "\udfff"], 400, "input[1] has half of a surrogate pair at offset 0"),
]


@pytest.mark.parametrize(
    ("given", "status", "said"), [row[1:] for row in BAD_INPUTS], ids=[name for name, *_ in BAD_INPUTS]
)
def test_bad_input(api: httpx.Client, problem: Problem, given: object, status: int, said: str) -> None:
    content = json.dumps({"input": given, "model": "hashing"})
    body = problem(api.post("/v1/embeddings", content=content, headers=JSON), status, "invalid_request")
    assert said in body["detail"]
    assert body["error"]["param"].split(".")[0] == "input"
    vectors_of(sent(api, "fine"))


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"dimensions": 65}, 400, "dimensions"),
        ({"dimensions": 0}, 422, "dimensions"),
        ({"dimensions": -1}, 422, "dimensions"),
        ({"dimensions": True}, 422, "dimensions"),
        ({"dimensions": 1.5}, 422, "dimensions"),
        ({"dimensions": "8"}, 422, "dimensions"),
        ({"encoding_format": "hex"}, 422, "encoding_format"),
        ({"input_type": "classification"}, 422, "input_type"),
        ({"model": 7}, 422, "model"),
    ],
)
def test_bad_fields(api: httpx.Client, problem: Problem, fields: dict[str, object], status: int, param: str) -> None:
    assert problem(sent(api, "a", **fields), status, "invalid_request")["error"]["param"] == param


def test_no_input_and_no_json(api: httpx.Client, problem: Problem) -> None:
    problem(api.post("/v1/embeddings", json={"model": "hashing"}), 422, "invalid_request")
    problem(api.post("/v1/embeddings", content=b'{"input": ', headers=JSON), 400, "invalid_request")
    problem(api.post("/v1/embeddings", content=b'{"input": "a"}'), 415, "unsupported_media_type")


def test_too_many_texts(api: httpx.Client, problem: Problem) -> None:
    body = problem(sent(api, ["a"] * 100_000), 413, "payload_too_large")
    assert body["detail"] == "input has 100000 texts; the limit is 2048"
    assert vectors_of(sent(api, ["a"] * 2048)).shape == (2048, 64)


def test_fifty_megabytes(api: httpx.Client, problem: Problem) -> None:
    content = b'{"input": "%s"}' % (b"x" * 50_000_000)
    problem(api.post("/v1/embeddings", content=content, headers=JSON), 413, "payload_too_large")


@pytest.mark.parametrize("model", ["gpt", "", "hashing-", "hashing-query-query", "-query", "HASHING", "\ud800"])
def test_an_unknown_model(api: httpx.Client, problem: Problem, model: str) -> None:
    content = json.dumps({"input": "a", "model": model})
    detail = problem(api.post("/v1/embeddings", content=content, headers=JSON), 404, "not_found")["detail"]
    assert "is not served here; there are hashing" in detail


class Prompted(HashingEmbedder):
    """Says by an additional word what kind of text it was given."""

    def tokenize(self, texts: Any, kind: TextKind) -> Any:  # noqa: ANN401
        return super().tokenize([f"{kind} {text}" for text in texts], kind)


@pytest.fixture
def prompted(open_api: OpenApi) -> Iterator[httpx.Client]:
    with open_api(Prompted()) as api:
        yield api


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "document"),
        ({"model": "hashing"}, "document"),
        ({"input_type": "query"}, "query"),
        ({"input_type": "document"}, "document"),
        ({"input_type": "passage"}, "document"),
        ({"input_type": None}, "document"),
        ({"model": "hashing-query"}, "query"),
        ({"model": "hashing-passage"}, "document"),
        ({"model": "hashing-passage", "input_type": "query"}, "query"),
    ],
)
@pytest.mark.parametrize("texts", [["bees"], ["bees", "wasps"]])
def test_what_a_text_is_for(prompted: httpx.Client, texts: list[str], fields: dict[str, object], kind: str) -> None:
    response = sent(prompted, texts, **fields)
    np.testing.assert_array_equal(vectors_of(response), expected([f"{kind} {text}" for text in texts]))
    assert response.json()["model"] == fields.get("model", "hashing")


@pytest.fixture
def named_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """`embedding.also` loads 32 dimensions under any name."""

    def load(name: str, **_: object) -> HashingEmbedder:
        model = HashingEmbedder(dimension=32)
        model.info = replace(model.info, name=name)
        return model

    monkeypatch.setattr(TransformerEmbedder, "load", load)


@pytest.mark.usefixtures("named_models")
def test_a_second_model(open_api: OpenApi, problem: Problem) -> None:
    with open_api(embedding={"also": ["other", "hashing-query"]}) as api:
        assert vectors_of(sent(api, "a")).shape == (1, 64)
        assert vectors_of(sent(api, "a", model="other")).shape == (1, 32)
        assert vectors_of(sent(api, "a", model="other-query")).shape == (1, 32)
        assert vectors_of(sent(api, "a", model="hashing-query")).shape == (1, 32)  # a name goes before a suffix
        assert "there are hashing, other" in problem(sent(api, "a", model="third"), 404, "not_found")["detail"]
        assert [info["name"] for info in api.get("/v1/status").json()["embedders"]] == [
            "hashing", "other", "hashing-query",
        ]  # fmt: skip


@pytest.mark.usefixtures("named_models")
def test_a_collection_of_the_second_model_is_written_and_searched_with_it(open_api: OpenApi, problem: Problem) -> None:
    with open_api(embedding={"also": ["other"]}) as api:
        made = api.put("/v1/collections/docs", json={"embedding_model": "other"}).json()
        assert (made["embedding_model"], made["dimension"]) == ("other", 32)
        api.put("/v1/collections/docs/documents/a", json={"text": "The honey bees sleep in winter."})
        api.put("/v1/collections/plain/documents/a", json={"text": "The honey bees sleep in winter."})
        for name in ("docs", "plain"):
            reply = api.post("/v1/query", json={"query": "When do the honey bees sleep?", "collection": name})
            assert reply.json()["chunks"][0]["scores"]["vector"] > 0.5
            assert reply.json()["status"] == "ok"
        metrics = api.get("/metrics").text
        assert 'quarry_batch_tokens_count{lane="bulk",model="other"} 1.0' in metrics
        assert 'quarry_batch_tokens_count{lane="bulk",model="hashing"} 1.0' in metrics
    with open_api() as api:
        refused = api.post("/v1/search", json={"query": "bees", "collection": "docs"})
        assert "holds vectors of 'other'" in problem(refused, 409, "conflict")["detail"]
        assert refused.headers["x-should-retry"] == "false"
        assert api.post("/v1/search", json={"query": "bees", "collection": "plain"}).status_code == 200


def test_a_repeated_query_is_answered_from_the_cache_and_a_document_is_not(
    open_api: OpenApi, scripted: Scripted
) -> None:
    device = scripted()
    with open_api(device) as api:
        start = len(device.batches)
        first = sent(api, "bees", input_type="query").json()
        assert sent(api, ["bees"], model="hashing-query").json()["data"] == first["data"]
        assert sent(api, "bees", input_type="query").json()["usage"] == first["usage"]
        assert len(device.batches) == start + 1
        for number, fields in enumerate([{}, {"input_type": "document"}, {"model": "hashing-passage"}] * 2):
            sent(api, "bees", **fields)
            assert len(device.batches) == start + 2 + number
        assert 'quarry_query_cache_lookups_total{outcome="hit"} 2.0' in api.get("/metrics").text


def test_a_question_of_the_story_finds_the_cache_too(open_api: OpenApi, scripted: Scripted) -> None:
    device = scripted()
    with open_api(device) as api:
        api.put("/v1/collections/docs/documents/a", json={"text": "The honey bees sleep in winter."})
        before = len(device.batches)
        for _ in range(3):
            assert api.post("/v1/search", json={"query": "bees", "collection": "docs"}).status_code == 200
        sent(api, "bees", input_type="query")
        assert len(device.batches) == before + 1


def test_no_bytes_no_cache(open_api: OpenApi, scripted: Scripted) -> None:
    device = scripted()
    with open_api(device, embedding={"cache_bytes": 0}) as api:
        before = len(device.batches)
        for _ in range(2):
            sent(api, "bees", input_type="query")
        assert len(device.batches) == before + 2


@pytest.mark.parametrize(
    ("given", "fields", "lane"),
    [
        ("short", {}, "query"),
        ("short", {"input_type": "query"}, "query"),
        ("short", {"input_type": "document"}, "bulk"),
        ("short", {"model": "hashing-passage"}, "bulk"),
        ("x" * 2049, {}, "bulk"),
        (["word " * 10] * 50, {}, "bulk"),
    ],
)
def test_the_lane_of_a_request(api: httpx.Client, given: object, fields: dict[str, object], lane: str) -> None:
    vectors_of(sent(api, given, **fields))
    counted = [line for line in api.get("/metrics").text.splitlines() if line.startswith("quarry_queue_seconds_count")]
    assert counted == [f'quarry_queue_seconds_count{{lane="{lane}"}} 1.0']
