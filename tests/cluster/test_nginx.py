"""Two query replicas and a writer behind nginx, under load: what is stopped and brought back fails nobody."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleet import DOCUMENT, QUESTION, Fleet, Writing, bearer, until
from milvus_lite import MilvusLite
from nginx_process import nginx_command
from redis_process import RedisProcess
from service.api.schemas.problem import Problem

pytestmark = pytest.mark.cluster


@pytest.fixture
def fleet(redis: RedisProcess, milvus_lite: MilvusLite, tiny_embedder: Path, tmp_path: Path) -> Iterator[Fleet]:
    nginx_command()  # skips before anything is started
    shared = {
        "QUARRY_INDEX__MILVUS__URL": milvus_lite.url,
        "QUARRY_INDEX__MILVUS__TYPE": "FLAT",
        "QUARRY_INDEX__MILVUS__TIMEOUT_MS": "120000",
        "QUARRY_EMBEDDING__MODEL": str(tiny_embedder),
        "QUARRY_ACCESS__OPEN_METRICS": "true",
        **redis.variables(),
    }
    with Writing() as writing:
        made = Fleet(tmp_path, shared, writing)
        try:
            made.start()
            yield made
        finally:
            made.end()


def test_a_replica_that_is_stopped_and_started_again_fails_nobody(fleet: Fleet) -> None:
    first = fleet.replicas[0]
    with ExitStack() as stack, fleet.load() as load:
        load.goes_on()
        answers = fleet.answers_of(first, stack)
        first.stop()
        until(lambda: first.says("/readyz") in {0, 503}, "it drains")
        load.goes_on()
        assert first.says("/healthz") == 200, "it waits for what it answers"
        fleet.writing.end()
        assert [answer.fault() for answer in answers] == [None] * len(answers)
        assert first.ended() == 0
        load.goes_on()
        first.start()
        until(lambda: first.says("/readyz") == 200, "it is back")
        asked = 'quarry_requests_total{method="POST",route="/v1/search",status="200"}'
        until(lambda: load.failures or first.sample(asked), "it is asked again")
    assert load.failures == []


def test_without_its_writer_queries_go_on_and_writes_are_told_so(fleet: Fleet) -> None:
    with fleet.load() as load:
        load.goes_on()
        fleet.writer.stop()
        assert fleet.writer.ended() == 0
        for reply in (
            fleet.put("other"),
            fleet.ask("GET", DOCUMENT.format("bees"), headers=bearer(fleet.key)),
            fleet.ask("DELETE", "/v1/collections/docs", headers=bearer(fleet.key)),
        ):
            assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json")
            problem = Problem.model_validate_json(reply.content, strict=True)
            assert problem.error.code == "writer_unavailable"
            assert reply.headers["retry-after"]
        load.goes_on()
        fleet.writer.start()
        until(lambda: fleet.writer.says("/readyz") == 200, "it is back")
        assert fleet.put("other").status_code == 201
        found = fleet.ask("POST", "/v1/search", json=QUESTION, headers=bearer(fleet.key)).json()["chunks"]
        assert {chunk["document_id"] for chunk in found} == {"bees", "other"}
        load.goes_on()
    assert load.failures == []
