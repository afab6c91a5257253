"""What is long is read beside the event loop, by few at a time; what is dense is not parsed."""

import asyncio
import json
import threading

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from service.api import bodies as module
from service.api.bodies import Bodies, validated
from service.api.schemas.rerank import RerankBody
from service.density import SHORT_BYTES
from service.errors import InvalidRequestError, OverloadedError

PATIENCE_S = 200.0
LONG = b" " * (SHORT_BYTES + 1)
RERANK = TypeAdapter(RerankBody)


def test_the_loop_goes_on_while_long_bodies_are_read_and_few_are_at_a_time() -> None:
    gate, running, most = threading.Event(), [0], [0]

    def reading(_: bytes) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert gate.wait(PATIENCE_S)
        running[0] -= 1
        return threading.current_thread().name

    async def scenario() -> None:
        bodies = Bodies()
        tasks = [asyncio.create_task(bodies.read(LONG, reading)) for _ in range(9)]
        while not running[0]:  # noqa: ASYNC110  a thread announces nothing
            await asyncio.sleep(0)
        assert await bodies.read(b"short", lambda _: threading.current_thread()) is threading.current_thread()
        gate.set()
        assert threading.current_thread().name not in await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert most[0] <= module._AT_ONCE


def test_those_that_wait_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 1)
    gate = threading.Event()

    async def scenario() -> None:
        bodies = Bodies()
        first = asyncio.create_task(bodies.read(LONG, lambda _: gate.wait(PATIENCE_S)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="1 long bodies wait to be read; the limit is 1"):
            await bodies.read(LONG, len)
        gate.set()
        assert await first
        assert await bodies.read(LONG, len) == len(LONG)

    asyncio.run(scenario())


def test_a_dense_body_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(_: bytes) -> object:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(json, "loads", parsed)
    with pytest.raises(InvalidRequestError, match="so many are not read"):
        validated(b'{"x":[%s]}' % b",".join([b"[]"] * 200_000), RERANK)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_json_is_utf_8_and_nothing_else(encoding: str) -> None:
    body = '{"query": "\u0122", "documents": ["a"]}'
    assert validated(body.encode("utf-8-sig"), RERANK).query == "\u0122"
    with pytest.raises((HTTPException, RequestValidationError)):
        validated(body.encode(encoding), RERANK)


def test_a_list_that_is_wrong_all_along_is_given_up_at_its_beginning() -> None:
    with pytest.raises(RequestValidationError) as wrong:
        validated(b'{"query":"x","documents":[%s]}' % b",".join([b"0"] * 100_000), RERANK)
    places = {error["loc"][:3] for error in wrong.value.errors()}
    assert places == {("body", "documents", 0)}


def test_no_body_waits_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    monkeypatch.setattr(module, "_MOST_WAIT_S", 0.01)
    gate = threading.Event()

    async def scenario() -> None:
        bodies = Bodies()
        first = asyncio.create_task(bodies.read(LONG, lambda _: gate.wait(PATIENCE_S)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="not read within"):
            await bodies.read(LONG, len)
        gate.set()
        assert await first
        assert await bodies.read(LONG, len) == len(LONG), "the turn came back"

    asyncio.run(scenario())


def test_of_errors_by_the_thousand_only_the_number_is_told() -> None:
    with pytest.raises(RequestValidationError) as raised:
        validated(b"[%s]" % b",".join([b'"x"'] * 5000), TypeAdapter(list[int]))
    assert [error["msg"] for error in raised.value.errors()] == ["breaks its schema in 5000 places"]
    with pytest.raises(RequestValidationError) as raised:
        validated(b'{"query":"x","documents":[1]}', RERANK)
    assert {error["loc"][:3] for error in raised.value.errors()} == {("body", "documents", 0)}
