"""A server that looks like Quarry to a load test, and misbehaves as it is told: ``python fake_quarry.py PORT ...``."""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

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


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes:
        stall_at: number of the request at which everything stands still for ``stall_s``.
        leaks: each request leaves a descriptor open.
        shed_every: of the searches, one in so many is a 503.
        stream: what becomes of streams: ``cut`` ends the connection, ``undone`` leaves out the end, ``more`` goes on
            after it, ``error`` and ``busy`` end with a problem, ``other`` says another answer in the end.
        silent: queries as JSON have no reply.
    """

    stall_at: int | None = None
    stall_s: float = 2.0
    leaks: bool = False
    shed_every: int | None = None
    stream: str = ""
    silent: bool = False


def application(faults: Faults) -> Starlette:
    numbers, searches = count(1), count(1)

    def arrive() -> None:
        if next(numbers) == faults.stall_at:
            time.sleep(faults.stall_s)  # on the event loop, so that nobody is served
        if faults.leaks:
            os.open(os.devnull, os.O_RDONLY)

    async def search(request: Request) -> Response:
        arrive()
        await request.body()
        if faults.shed_every and next(searches) % faults.shed_every == 0:
            return JSONResponse({"detail": "the queue is full"}, 503)
        return JSONResponse({"chunks": []})

    async def query(request: Request) -> Response:
        arrive()
        if orjson.loads(await request.body())["stream"]:
            return StreamingResponse(_events(faults.stream), media_type="text/event-stream")
        if faults.silent:
            await asyncio.Event().wait()
        return JSONResponse({"status": "ok", "degraded": ["llm"]})

    async def chat(request: Request) -> Response:
        arrive()
        await request.body()
        return StreamingResponse(_chunks(faults.stream), media_type="text/event-stream")

    async def put(request: Request) -> Response:
        arrive()
        await request.body()
        return JSONResponse({"status": "created"}, 201)

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(METRICS)

    return Starlette(
        routes=[
            Route("/v1/search", search, methods=["POST"]),
            Route("/v1/query", query, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/collections/{c}/documents/{d}", put, methods=["PUT"]),
            Route("/metrics", metrics),
        ]
    )


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
        yield _event("error", {"status": 503 if fault == "busy" else 500, "detail": "as told"})
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
        code = "overloaded" if fault == "busy" else "internal_error"
        yield b"data: %s\n\n" % orjson.dumps({"error": {"code": code}, "choices": []})
        return
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
    given = parser.parse_args()
    app = application(Faults(stall_at=given.stall_at, leaks=given.leaks))
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="critical", lifespan="off")


if __name__ == "__main__":
    main()
