"""What the benchmark of access compares a guarded search with, and how it takes differences."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.app import Outside, create_app
from service.cli.bench.access.overhead import Cost
from service.cli.bench.access.served import Unguarded
from service.settings import Settings

BODY = {"query": "When is the audit?", "collection": "docs", "top_k": 2}


async def ask(app: ASGIApp, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(method, path, json=body)


def told(reply: httpx.Response) -> dict[str, Any]:
    """A reply without what no two have in common."""
    return {name: value for name, value in reply.json().items() if name not in {"id", "timings_ms"}}


def test_what_has_nothing_in_front_finds_the_same_with_and_without_fastapi(tmp_path: Path) -> None:
    outside = Outside(HashingEmbedder(), memory=ScriptedMemory())
    app = create_app(Settings(data_dir=tmp_path), outside)

    async def asked() -> list[httpx.Response]:
        async with app.router.lifespan_context(app):
            for name in ("one", "two", "three"):
                path, text = f"/v1/collections/docs/documents/{name}", f"The audit of {name} is on Friday."
                assert (await ask(app, "PUT", path, {"text": text})).is_success
            unguarded = Unguarded(app.state.services)
            kinds: tuple[ASGIApp, ...] = (app, unguarded.app(), unguarded.bare())
            return [await ask(kind, "POST", "/v1/search", BODY) for kind in kinds]

    guarded, *others = asyncio.run(asked())
    assert len(guarded.json()["chunks"]) == 2
    for other in others:
        assert told(other) == told(guarded)
        assert {"x-request-id", "server-timing"} <= other.headers.keys()  # what costs the same on both sides
        assert "x-content-type-options" not in other.headers


def test_a_cost_is_a_difference_of_medians_with_that_of_its_parts() -> None:
    cheap = [0.001] * 20
    dear = [0.002] * 10 + [0.004] * 10
    assert Cost.of(dear, cheap) == Cost(p50=pytest.approx(2.0), least=1.0, most=3.0)
