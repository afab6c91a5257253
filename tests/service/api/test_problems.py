"""The table of bad input: never a 500, always problem+json that names the value and the limit, nothing half-written."""

import gc
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from indexes import errors as indexes
from models import base as models
from service import errors as service
from service.api.problems import TABLE, kind_of

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

JSON = {"content-type": "application/json"}
DOCUMENT = "/v1/collections/docs/documents/bad"
BODY_LIMIT = 100_000
LIMITS = {
    "server": {"max_body_bytes": BODY_LIMIT},
    "limits": {"query_characters": 200, "document_characters": 1000, "batch_documents": 3},
}


@pytest.fixture
def limited(open_api: OpenApi) -> Iterator[httpx.Client]:
    """An application with small limits and one document, which must be all there is afterwards too."""
    with open_api(**LIMITS) as client:
        client.put("/v1/collections/docs/documents/good", json={"text": "The only document."})
        yield client
        assert [entry["id"] for entry in client.get("/v1/collections/docs/documents").json()["data"]] == ["good"]
        listed = client.get("/v1/collections").json()["data"]
        assert [(entry["name"], entry["documents"], entry["index_version"]) for entry in listed] == [("docs", 1, 1)]


QUESTIONS = [
    ("empty body", b"", 422, "body"),
    ("empty object", b"{}", 422, "query: Field required"),
    ("empty query", b'{"query": ""}', 422, "at least 1 character; got ''"),
    ("blank query", b'{"query": " \\n "}', 400, "query is blank"),
    ("overlong query", b'{"query": "%s"}' % (b"x" * 201), 400, "query has 201 characters; the limit is 200"),
    ("not UTF-8", b'{"query": "caf\xe9"}', 400, "not UTF-8: byte 0xe9 at offset 14"),
    ("not JSON", b'{"query": ', 400, "the body is not JSON"),
    ("not an object", b'["query"]', 422, "got ['query']"),
    ("wrong type", b'{"query": 7}', 422, "query: Input should be a valid string; got 7"),
    ("unknown field", b'{"query": "x", "topk": 3}', 422, "topk: Extra inputs are not permitted; got 3"),
    ("top_k below", b'{"query": "x", "top_k": 0}', 422, "top_k: Input should be greater than or equal to 1; got 0"),
    ("top_k above", b'{"query": "x", "top_k": 1001}', 422, "less than or equal to 1000; got 1001"),
    ("top_k a word", b'{"query": "x", "top_k": "10"}', 422, "top_k: Input should be a valid integer; got '10'"),
    ("top_k a float", b'{"query": "x", "top_k": 1.5}', 422, "got 1.5"),
    ("top_k true", b'{"query": "x", "top_k": true}', 422, "got True"),
    ("threshold NaN", b'{"query": "x", "score_threshold": NaN}', 422, "score_threshold: Input should be a finite"),
    ("threshold inf", b'{"query": "x", "score_threshold": Infinity}', 422, "finite number; got inf"),
    ("threshold -inf", b'{"query": "x", "score_threshold": -Infinity}', 422, "finite number; got -inf"),
    ("threshold above", b'{"query": "x", "score_threshold": 1.01}', 422, "less than or equal to 1; got 1.01"),
    ("lone surrogate", b'{"query": "\\ud800"}', 422, "query"),
    ("surrogate in a name", b'{"query": "x", "\\udfff": 1}', 422, "unable to parse raw data as a unicode"),
    ("deadline of 0", b'{"query": "x", "deadline_ms": 0}', 422, "deadline_ms: Input should be greater"),
    ("deadline too long", b'{"query": "x", "deadline_ms": 600001}', 422, "less than or equal to 600000; got 600001"),
    ("huge integer", b'{"query": "x", "top_k": 1%s}' % (b"0" * 5000), 400, "body"),
    ("deep nesting", b'{"query": ' + b"[" * 50_000, 400, "body"),
]
IDS = [name for name, *_ in QUESTIONS]


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query"])
@pytest.mark.parametrize(("body", "status", "said"), [row[1:] for row in QUESTIONS], ids=IDS)
def test_bad_questions(
    limited: httpx.Client, problem: Problem, route: str, body: bytes, status: int, said: str
) -> None:
    sent = limited.post(
        route, content=body.replace(b'"query": "x"', b'"collection": "docs", "query": "x"'), headers=JSON
    )
    if said.endswith("Field required") and route == "/v1/query":
        said = "give either query or messages"
    assert said in problem(sent, status, "invalid_request")["detail"]


@pytest.mark.parametrize(
    ("extra", "status", "said"),
    [
        ({"llm": "gpt"}, 400, "llm 'gpt' is not configured; there are extractive"),
        ({"max_tokens": 0}, 422, "max_tokens"),
        ({"temperature": 2.5}, 422, "less than or equal to 2; got 2.5"),
        ({"on_failure": "shrug"}, 422, "'degrade' or 'fail'; got 'shrug'"),
        ({"stream": "yes"}, 422, "valid boolean; got 'yes'"),
        ({"stream": True, "top_k": 0}, 422, "top_k"),
        ({"stream": True, "llm": "gpt"}, 400, "not configured"),
    ],
)
def test_bad_generation(
    limited: httpx.Client, problem: Problem, extra: dict[str, object], status: int, said: str
) -> None:
    sent = limited.post("/v1/query", json={"query": "x", "collection": "docs"} | extra)
    assert said in problem(sent, status, "invalid_request")["detail"]


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query"])
def test_an_unknown_collection(limited: httpx.Client, problem: Problem, route: str) -> None:
    sent = limited.post(route, json={"query": "x", "collection": "atlantis"})
    assert "'atlantis'" in problem(sent, 404, "not_found")["detail"]
    sent = limited.post(route, content=b'{"query": "x", "collection": "\\ud800"}', headers=JSON)
    assert r"'\ud800'" in problem(sent, 404, "not_found")["detail"]


FILTERS = [
    ("a list", b"[]", "filters: Input should be"),
    ("a word", b'"eq"', "filters: Input should be"),
    ("empty", b"{}", "type must be one of eq, ne, "),
    ("no such type", b'{"type": "like", "key": "k", "value": 1}', "; got 'like'"),
    ("unknown member", b'{"type": "eq", "key": "k", "value": 1, "boost": 2}', "filter has a member besides"),
    ("no value", b'{"type": "eq", "key": "k"}', "value is missing"),
    ("null", b'{"type": "eq", "key": "k", "value": null}', "value must be a string, a finite number or a boolean"),
    ("NaN", b'{"type": "eq", "key": "k", "value": NaN}', "got nan"),
    ("infinite", b'{"type": "eq", "key": "k", "value": 1e999}', "got inf"),
    ("wide", b'{"type": "eq", "key": "k", "value": 1%s}' % (b"0" * 400), "an integer of 1329 bits; the limit is 1024"),
    ("deep", b'%s1%s' % (b'{"type": "or", "filters": [' * 20, b"]}" * 20), "lies 17 levels deep; the limit is 16"),
    ("order of booleans", b'{"type": "or", "filters": [{"type": "gt", "key": "k", "value": true}]}',
     "filters[0].value must be a number or a string for gt: booleans have no order; got True"),
]  # fmt: skip


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query", "/v1/collections/docs/documents:delete"])
@pytest.mark.parametrize(("filters", "said"), [row[1:] for row in FILTERS], ids=[name for name, *_ in FILTERS])
def test_bad_filters(limited: httpx.Client, problem: Problem, route: str, filters: bytes, said: str) -> None:
    question = b"" if route.endswith("delete") else b'"query": "x", "collection": "docs", '
    sent = limited.post(route, content=b'{%s"filters": %s}' % (question, filters), headers=JSON)
    body = problem(sent, 422, "invalid_request")
    assert said in body["detail"]
    assert body["error"]["param"] == "filters"


def test_a_delete_without_filters_deletes_nothing(limited: httpx.Client, problem: Problem) -> None:
    route = "/v1/collections/docs/documents:delete"
    for content in (b"{}", b'{"filters": null}', b'{"filter": {"type": "ne", "key": "k", "value": 1}}'):
        assert (
            "filters" in problem(limited.post(route, content=content, headers=JSON), 422, "invalid_request")["detail"]
        )
    everything = b'{"filters": {"type": "ne", "key": "k", "value": 1}}'
    sent = limited.post(route, content=everything, headers={"content-type": "text/plain"})
    problem(sent, 415, "unsupported_media_type")
    sent = limited.post("/v1/collections/atlantis/documents:delete", content=everything, headers=JSON)
    problem(sent, 404, "not_found")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_question_that_is_not_announced_as_json(
    limited: httpx.Client, problem: Problem, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    sent = limited.post("/v1/search", content=b'{"query": "x"}', headers=headers)
    assert "application/json" in problem(sent, 415, "unsupported_media_type")["detail"]


def test_thousands_of_errors_are_told_in_a_few_lines(limited: httpx.Client, problem: Problem) -> None:
    sent = limited.post("/v1/search", json={"query": "x", **{f"unknown{number}": 1 for number in range(40)}})
    detail = problem(sent, 422, "invalid_request")["detail"]
    assert "unknown0: Extra inputs" in detail
    assert detail.endswith("and 32 more")


BODIES = [
    ("no body", b"", 400, "invalid_request", "not JSON"),
    ("no text", b"{}", 422, "invalid_request", "text: Field required"),
    ("empty text", b'{"text": ""}', 400, "empty_document", "document 'bad' has no text"),
    ("blank text", b'{"text": " \\t\\u2003"}', 400, "empty_document", "document 'bad' has no text"),
    ("text a number", b'{"text": 5}', 422, "invalid_request", "text: Input should be a valid string; got 5"),
    ("text null", b'{"text": null}', 422, "invalid_request", "got None"),
    ("not an object", b'["text"]', 422, "invalid_request", "body: Input should be an object; got ['text']"),
    ("not UTF-8", b'{"text": "\xff"}', 400, "invalid_request", "not JSON"),
    ("lone surrogate", b'{"text": "\\ud800"}', 400, "invalid_request", "not JSON"),
    ("NUL", b'{"text": "a\\u0000b"}', 400, "invalid_request", "text has a NUL character at offset 1"),
    ("NUL in the title", b'{"text": "a", "title": "\\u0000"}', 400, "invalid_request", "title has a NUL"),
    ("too long", b'{"text": "%s"}' % (b"x" * 1001), 400, "invalid_request", "text has 1001 characters; the limit is 1"),
    ("unknown field", b'{"text": "a", "body": "b"}', 422, "invalid_request", "body: Extra inputs are not permitted"),
    ("an id too", b'{"text": "a", "id": "b"}', 422, "invalid_request", "id: Extra inputs are not permitted; got 'b'"),
    ("metadata a list", b'{"text": "a", "metadata": []}', 422, "invalid_request", "metadata: Input should be an"),
    ("metadata NaN", b'{"text": "a", "metadata": {"n": NaN}}', 422, "invalid_request", "metadata"),
    ("metadata inf", b'{"text": "a", "metadata": {"n": [1e999]}}', 422, "invalid_request", "metadata"),
    ("metadata wide", b'{"text": "a", "metadata": {"n": 1%s}}' % (b"0" * 30), 422, "invalid_request", "64-bit"),
    ("metadata large", b'{"text": "a", "metadata": {"n": "%s"}}' % (b"x" * 70_000), 422, "invalid_request",
     "takes 70008 bytes as JSON; the limit is 65536"),
    ("metadata deep", b'{"text": "a", "metadata": {"n": %s%s}}' % (b"[" * 400, b"]" * 400), 400, "invalid_request",
     "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code", "said"), [row[1:] for row in BODIES], ids=[name for name, *_ in BODIES]
)
def test_bad_documents(limited: httpx.Client, problem: Problem, body: bytes, status: int, code: str, said: str) -> None:
    sent = limited.put(DOCUMENT, content=body, headers=JSON)
    assert said in problem(sent, status, code)["detail"]


@pytest.mark.parametrize("collection", ["docs", "new"])
def test_a_refused_document_creates_no_collection(limited: httpx.Client, collection: str) -> None:
    sent = limited.put(f"/v1/collections/{collection}/documents/bad", json={"text": " "})
    assert sent.status_code == 400


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tab%09here", "'tab\\there' holds a control character"),
        ("nul%00", "holds a control character"),
        ("c1%C2%85", "holds a control character"),
        ("x" * 513, "takes 513 bytes; the limit is 1 to 512"),
        ("%C3%A9" * 257, "takes 514 bytes; the limit is 1 to 512"),
        ("%FF", "'%FF' is not UTF-8"),
        ("ok/%C3%28", "is not UTF-8"),
        ("%ED%A0%80", "is not UTF-8"),
        ("%2E", "'.' is a path segment"),
        ("%2E%2e", "'..' is a path segment"),
        ("", "takes 0 bytes; the limit is 1 to 512"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_bad_ids(limited: httpx.Client, problem: Problem, method: str, path: str, said: str) -> None:
    content = b'{"text": "a"}' if method == "PUT" else None
    sent = limited.request(method, f"/v1/collections/docs/documents/{path}", content=content, headers=JSON)
    assert said in problem(sent, 400, "invalid_request")["detail"]


def test_a_route_that_the_client_encoded_oddly(limited: httpx.Client, problem: Problem) -> None:
    """The route matches the decoded path; the id is what follows in it."""
    for path in ("/v1%2Fcollections/docs/documents/nobody", "/v1/collections/docs%2Fdocuments/nobody"):
        assert "'nobody'" in problem(limited.get(path), 404, "not_found")["detail"]


def form(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  httpx takes many shapes
    return {"files": fields}


FILE = ("a.txt", b"Some text.")
FORMS = [
    ("binary", form(file=("notes.txt", b"GIF89a\xff\xfe\x00")), 415, "'notes.txt' is not UTF-8 text: byte 0xff at"),
    ("NUL", form(file=("notes.txt", b"a\x00b")), 415, "'notes.txt' is not text: NUL character at offset 1"),
    ("suffix", form(file=("a.exe", b"MZ")), 415, "files of type '.exe' are not read; .txt, "),
    ("no suffix", form(file=("README", b"a")), 415, "files of type '(none)' are not read"),
    ("no file", form(title=(None, "x")), 400, "the form has no file in its field 'file'"),
    ("file a string", form(file=(None, "x")), 400, "the form has no file in its field 'file'"),
    ("unknown", form(file=FILE, color=(None, "red")), 400, "unknown form fields: color"),
    ("two files", {"files": [("file", FILE), ("file", FILE)]}, 400, "files"),
    ("metadata not JSON", form(file=FILE, metadata=(None, "{")), 400, "metadata is not JSON"),
    ("metadata NaN", form(file=FILE, metadata=(None, '{"n": NaN}')), 400, "metadata is not JSON"),
    ("metadata a list", form(file=FILE, metadata=(None, "[1]")), 422, "metadata: Input should be an object"),
    ("metadata large", form(file=FILE, metadata=(None, '{"n": "%s"}' % ("x" * 70_000))), 422, "the limit is 65536"),
    ("title a file", form(file=FILE, title=("t.txt", b"x")), 400, "files"),
    ("empty", form(file=("a.txt", b"")), 400, "document 'bad' has no text"),
    ("empty HTML", form(file=("a.html", b"<p></p>")), 400, "document 'bad' has no text"),
    ("too long", form(file=("a.txt", b"x" * 1001)), 413, "has more than 1000 characters of text"),
]


@pytest.mark.parametrize(("sent", "status", "said"), [row[1:] for row in FORMS], ids=[name for name, *_ in FORMS])
def test_bad_forms(limited: httpx.Client, problem: Problem, sent: dict[str, Any], status: int, said: str) -> None:
    code = {413: "payload_too_large", 415: "unsupported_media_type"}.get(
        status, "empty_document" if "no text" in said else "invalid_request"
    )
    assert said in problem(limited.put(DOCUMENT, **sent), status, code)["detail"]


BOUNDARY = "multipart/form-data; boundary=b"
RAW_FORMS = [
    ("no boundary", "multipart/form-data", b"--b\r\n"),
    ("garbage", BOUNDARY, b"garbage"),
    ("no name", BOUNDARY, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    ("no disposition", BOUNDARY, b"--b\r\nX: y\r\n\r\nx\r\n--b--\r\n"),
    ("bad header", BOUNDARY, b"--b\r\n\x00bad: y\r\n\r\nx\r\n--b--\r\n"),
    ("bad charset", BOUNDARY + "; charset=nonsense", b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\nx'),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "body"), [row[1:] for row in RAW_FORMS], ids=[name for name, *_ in RAW_FORMS])
def test_broken_forms(limited: httpx.Client, problem: Problem, content_type: str, body: bytes) -> None:
    problem(limited.put(DOCUMENT, content=body, headers={"content-type": content_type}), 400, "invalid_request")


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
def test_a_form_that_breaks_off(limited: httpx.Client, problem: Problem) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx'
    sent = limited.put(DOCUMENT, content=body, headers={"content-type": BOUNDARY})
    assert "no file in its field 'file'" in problem(sent, 400, "invalid_request")["detail"]
    gc.collect()  # python-multipart's parser leaves the unfinished part to the collector, which warns


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", None])
def test_a_document_in_another_content_type(limited: httpx.Client, problem: Problem, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    sent = limited.put(DOCUMENT, content=b'{"text": "a"}', headers=headers)
    detail = problem(sent, 415, "unsupported_media_type")["detail"]
    assert repr(content_type or "(none)") in detail
    assert "application/json and multipart/form-data are" in detail


@pytest.mark.parametrize("name", ["-led", ".hidden", "sp%20ace", "x" * 65, "%C3%A9", "a%00b", "%FF"])
def test_bad_collection_names(limited: httpx.Client, problem: Problem, name: str) -> None:
    said = "1-64 letters, digits"
    assert said in problem(limited.put(f"/v1/collections/{name}", json={}), 400, "invalid_request")["detail"]
    sent = limited.put(f"/v1/collections/{name}/documents/x", json={"text": "a"})
    assert said in problem(sent, 400, "invalid_request")["detail"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"embedding_model": "other"}, 400, "embedding_model 'other' is not served here; there are 'hashing'"),
        ({"chunking": {"size": 15}}, 422, "chunking.size: Input should be greater than or equal to 16; got 15"),
        ({"chunking": {"size": 20, "overlap": 20}}, 400, "chunking.overlap 20 must be smaller than size 20"),
        ({"metric": "euclid"}, 422, "metric: Input should be 'cosine', 'ip' or 'l2'; got 'euclid'"),
        ({"shards": 2}, 422, "shards: Extra inputs"),
    ],
)
def test_bad_collections(
    limited: httpx.Client, problem: Problem, body: dict[str, object], status: int, said: str
) -> None:
    assert said in problem(limited.put("/v1/collections/new", json=body), status, "invalid_request")["detail"]


@pytest.mark.parametrize("path", ["/index.html", "/v1", "/v1/nothing", "/v1/collections/docs/nothing", "/%FF"])
def test_unknown_routes(limited: httpx.Client, problem: Problem, path: str) -> None:
    assert "there is no" in problem(limited.get(path), 404, "not_found")["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/search"), ("PATCH", "/v1/collections/docs"), ("POST", DOCUMENT), ("PUT", "/healthz")],
)
def test_wrong_methods(limited: httpx.Client, problem: Problem, method: str, path: str) -> None:
    sent = limited.request(method, path)
    assert f"{method} is not allowed" in problem(sent, 405, "method_not_allowed")["detail"]
    assert sent.headers["allow"]


def test_a_request_id_is_kept_where_it_is_well_formed(limited: httpx.Client, problem: Problem) -> None:
    for good in ("0F8FAD5B-d9cb-469f-a165-70867728950e", uuid.uuid4().hex):
        sent = limited.get("/v1/nothing", headers={"x-request-id": good})
        assert problem(sent, 404, "not_found")["request_id"] == good
    for bad in ("two words", "order-66", "<script>", "4111111111111111", f"{uuid.uuid4()}x", f"{uuid.uuid4()}-0"):
        assert limited.get("/healthz", headers={"x-request-id": bad}).headers["x-request-id"] != bad


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JavaScript:x", " \x01javascript:x", "java\nscript\t:x", "data:text/html,x", "vbscript:x"],
)
def test_a_url_that_would_run_is_refused(limited: httpx.Client, problem: Problem, url: str) -> None:
    sent = limited.put(DOCUMENT, json={"text": "x", "url": url})
    assert "whose links may run" in problem(sent, 400, "invalid_request")["detail"]
    assert limited.post("/v1/collections/docs/documents:batch", json={"id": "a", "text": "x", "url": url}).json()[
        "error"
    ]


@pytest.mark.parametrize("ended", ["", "x", "x/y", "?"])
def test_no_problem_repeats_the_secret_of_a_key(limited: httpx.Client, ended: str) -> None:
    hidden = "0kd9mYb2cCkJx0PzqTTkZ3JY6m5rIEYcJ5z8Wc1bQwE"
    key = f"quarry.9f86d081884c7d65.{hidden}"
    for sent in (
        limited.get(f"/v1/{key}{ended}"),
        limited.get(f"/v1/collections/docs/documents/{key}{ended}"),
        limited.delete(f"/v1/admin/keys/{key}"),
        limited.get("/v1/jobs", params={"limit": f"{ended}{key}"}),
        limited.post("/v1/search", json={"query": "x", key: key}),
        limited.post("/v1/search", json={"query": {key: key}}),
    ):
        assert sent.status_code >= 400
        assert hidden[:8] not in sent.text
        assert "quarry.9f86d081884c7d65.***" in sent.text


def test_an_unforeseen_error_says_nothing_of_its_inside(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("service.rag.Rag.retrieve", broken)
    with caplog.at_level("ERROR", "quarry.api"):
        sent = api.post("/v1/search", json={"query": "x"}, headers={"x-request-id": "find-me"})
    body = problem(sent, 500, "internal_error")
    assert "a secret" not in sent.text
    assert body["retryable"] is False
    assert "a secret" in caplog.text
    assert 'status="500"' in api.get("/metrics").text


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (indexes.CollectionNotFoundError("x"), "not_found", 404),
        (indexes.DocumentNotFoundError("x"), "not_found", 404),
        (indexes.CollectionConflictError("x"), "conflict", 409),
        (indexes.InvalidNameError("x"), "invalid_request", 400),
        (indexes.StoreUnavailableError("x"), "vector_store_unavailable", 503),
        (service.EmptyDocumentError("x"), "empty_document", 400),
        (service.InvalidRequestError("x"), "invalid_request", 400),
        (service.UnsupportedMediaTypeError("x"), "unsupported_media_type", 415),
        (service.ModelNotServedError("x"), "not_found", 404),
        (service.TooManyInputsError("x"), "payload_too_large", 413),
        (service.OverloadedError("x", 1), "overloaded", 503),
        (service.EmbedderUnavailableError("x"), "embedder_unavailable", 503),
        (models.DeviceLostError("x"), "embedder_unavailable", 503),
        (service.DeadlineExceededError("embed", 1), "deadline_exceeded", 504),
        (service.LlmTimeoutError("x"), "llm_timeout", 504),
        (service.LlmBadResponseError("x"), "llm_bad_response", 502),
        (service.LlmUnavailableError("x"), "llm_unavailable", 503),
        (ValueError("x"), "internal_error", 500),
    ],
)
def test_every_error_has_its_row(error: Exception, code: str, status: int) -> None:
    kind = kind_of(error)
    assert (kind.code, kind.status, kind.retryable) == (code, status, status == 503)


def test_a_subclass_stands_before_its_base() -> None:
    types = [type_ for type_, _ in TABLE]
    for position, type_ in enumerate(types):
        assert not any(issubclass(later, type_) for later in types[position + 1 :])


def test_a_role_that_is_no_string_is_refused(limited: httpx.Client, problem: Problem) -> None:
    for role in ([], {}, 7, None):
        sent = limited.post("/v1/query", json={"messages": [{"role": role, "content": "x"}]})
        assert "messages.0.role" in problem(sent, 422, "invalid_request")["detail"]


def test_a_whole_number_is_an_integer_however_it_is_written(limited: httpx.Client) -> None:
    sent = limited.post("/v1/search", content=b'{"query": "x", "collection": "docs", "top_k": 10.0}', headers=JSON)
    assert sent.status_code == 200
