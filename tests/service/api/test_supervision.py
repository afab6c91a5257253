"""The API while `quarry up` starts the language model's server beside it."""

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bulk_hold import BulkHold

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


def put(api: httpx.Client, name: str) -> httpx.Response:
    return api.put(f"/v1/collections/default/documents/{name}", json={"text": "Moss grows on the wall."})


def test_ingest_and_rebuilds_wait_for_the_end_of_the_start_and_queries_do_not(
    open_api: OpenApi, problem: Problem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("service.construction.BulkHold", partial(BulkHold, 0.05))
    parent, child = socket.socketpair()
    llm = {"main": {"model": "m", "managed": {"weights": tmp_path}}}

    def tell(phase: str) -> None:
        parent.sendall(json.dumps({"llm": "main", "phase": phase, "why": ""}).encode() + b"\n")

    parent.settimeout(60)
    with parent, parent.makefile() as said, open_api(link=child.detach(), llm=llm) as api:
        assert put(api, "before").status_code == 201
        tell("starting")
        assert json.loads(said.readline()) == {"held": True}
        assert api.get("/v1/status").json()["supervision"] == {
            "llm": {"main": {"phase": "starting", "why": ""}},
            "bulk_work": "held",
        }
        problem(put(api, "meanwhile"), 503, "overloaded")
        problem(api.post("/v1/collections/default:rebuild"), 503, "overloaded")
        problem(api.post("/v1/embeddings", json={"input": "moss", "input_type": "document"}), 503, "overloaded")
        assert api.post("/v1/search", json={"query": "moss"}).json()["chunks"]
        tell("ready")
        parent.shutdown(socket.SHUT_WR)
        while api.get("/v1/status").json()["supervision"]["llm"]["main"]["phase"] != "unsupervised":
            pass
        assert put(api, "after").status_code == 201
