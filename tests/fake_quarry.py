"""A server that looks like Quarry to a load test, and misbehaves as it is told: ``python fake_quarry.py PORT ...``."""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

STALL_S = 2.0
TOKENS = ("A ", "valve ", "is ", "closed. ", "[1]")
METRICS = """# TYPE quarry_queue_tokens gauge
quarry_queue_tokens{lane="query"} 3.0
quarry_queue_tokens{lane="bulk"} 4.0
# TYPE quarry_llm_queue gauge
quarry_llm_queue{llm="fake"} 2.0
# TYPE quarry_ledger_bytes gauge
quarry_ledger_bytes{component="embedder_weights",device="cpu"} 1048576.0
quarry_ledger_bytes{component="unattributed",device="cpu"} 1048576.0
# TYPE quarry_gpu_memory_bytes gauge
quarry_gpu_memory_bytes{device="cuda:0",kind="used"} 2097152.0
quarry_gpu_memory_bytes{device="cuda:0",kind="total"} 9097152.0
"""


# In the header of a request: what goes wrong with its reply. A stream is ``cut``, ``undone`` without its end, goes on
# with ``more`` after it, ends with a problem (``error``, ``busy``), says an ``other`` answer in the end, ends
# with a ``strange`` event, or has a chunk that is ``STRANGE``; searches for a valve may be ``shed``, all of them may
# find the embedder ``down``, and ``silent`` is no reply.
FAULT = "x-fault"
STRANGE = {
    "no delta": {"choices": [{"delta": None, "finish_reason": None}]},
    "no rag": {"choices": [{"delta": {}, "finish_reason": None}], "rag": None},
    "text for an error": {"error": "out of order"},
    "text for a chunk": "out of order",
}


class FakeQuarry:
    """The routes that are loaded.

    Args:
        stall_at: number of the request at which everything stands still.
        leaks: each request leaves a descriptor open.
    """

    def __init__(self, stall_at: int | None, *, leaks: bool) -> None:
        self._numbers = count(1)
        self._stall_at = stall_at
        self._leaks = leaks

    def application(self) -> Starlette:
        routes = [
            Route("/v1/search", self._search, methods=["POST"]),
            Route("/v1/query", self._query, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/collections/{c}/documents/{d}", self._put, methods=["PUT"]),
            Route("/metrics", self._metrics),
        ]
        return Starlette(routes=routes)

    async def _arrived(self, request: Request) -> str:
        if next(self._numbers) == self._stall_at:
            time.sleep(STALL_S)  # noqa: ASYNC251  on the event loop, so that nobody is served
        if self._leaks:
            os.open(os.devnull, os.O_RDONLY)
        fault = request.headers.get(FAULT, "")
        if fault == "silent":
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return fault

    async def _search(self, request: Request) -> Response:
        fault = await self._arrived(request)
        if fault == "shed" and b"valve" in await request.body():
            return JSONResponse(_problem("overloaded", 503), 503)
        if fault == "down":
            return JSONResponse(_problem("embedder_unavailable", 503), 503)
        return JSONResponse({"chunks": []})

    async def _query(self, request: Request) -> Response:
        fault = await self._arrived(request)
        if orjson.loads(await request.body())["stream"]:
            return StreamingResponse(_events(fault), media_type="text/event-stream")
        return JSONResponse({"status": "ok", "degraded": ["llm"]})

    async def _chat(self, request: Request) -> Response:
        fault = await self._arrived(request)
        return StreamingResponse(_chunks(fault), media_type="text/event-stream")

    async def _put(self, request: Request) -> Response:
        await self._arrived(request)
        return JSONResponse({"status": "created"}, 201)

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(METRICS)


def _problem(code: str, status: int) -> dict[str, object]:
    return {"status": status, "detail": "as told", "error": {"code": code, "message": "as told"}}


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))


async def _events(fault: str) -> AsyncIterator[bytes]:
    yield _event("retrieval", {"chunks": []})
    yield b": still here\n\n"
    for text in TOKENS:
        yield _event("token", {"text": text})
        await asyncio.sleep(0.001)
    if fault == "cut":
        raise ConnectionResetError("as told")
    if fault in {"error", "busy"}:
        yield _event("error", _problem("overloaded" if fault == "busy" else "llm_unavailable", 503))
    elif fault == "strange":
        yield _event("done", ["ok"])
    elif fault != "undone":
        answer = "Something else." if fault == "other" else "".join(TOKENS)
        yield _event("done", {"status": "ok", "answer": answer, "degraded": []})
    if fault == "more":
        yield _event("token", {"text": "more"})


async def _chunks(fault: str) -> AsyncIterator[bytes]:
    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        return b"data: %s\n\n" % orjson.dumps({"choices": [{"delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    for text in TOKENS:
        yield chunk({"content": text})
        await asyncio.sleep(0.001)
    if fault == "cut":
        raise ConnectionResetError("as told")
    if fault in {"error", "busy"}:
        problem = _problem("overloaded" if fault == "busy" else "llm_unavailable", 503)
        yield b"data: %s\n\n" % orjson.dumps(problem | {"choices": []})
        return
    if fault in STRANGE:
        yield b"data: %s\n\n" % orjson.dumps(STRANGE[fault])
    yield chunk({}, "stop")
    if fault != "undone":
        yield b"data: [DONE]\n\n"
    if fault == "more":
        yield chunk({"content": "more"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--stall-at", type=int)
    parser.add_argument("--leaks", action="store_true")
    parser.add_argument("--certificate", type=Path)
    given = parser.parse_args()
    app = FakeQuarry(given.stall_at, leaks=given.leaks).application()
    certificate = given.certificate
    tls = {"ssl_certfile": certificate, "ssl_keyfile": certificate.with_suffix(".key")} if certificate else {}
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="critical", lifespan="off", **tls)


if __name__ == "__main__":
    main()
