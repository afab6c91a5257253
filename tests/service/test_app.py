"""The application of /metrics alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.app import Outside, create_app, create_metrics_app
from service.settings import Settings

ADMIN = "a-key-of-an-operator-with-40-characters!"


async def _asked(settings: Settings, told: Callable[[httpx.AsyncClient, Any], Any]) -> None:
    app = create_app(settings, Outside(HashingEmbedder(), memory=ScriptedMemory()))
    async with app.router.lifespan_context(app):
        alone = create_metrics_app(app.state.services)
        transport = httpx.ASGITransport(alone)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            await told(http, alone)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", server={"metrics_port": 0}, access={"admin_key": ADMIN})


def test_it_has_the_metrics_for_whoever_has_a_key(settings: Settings) -> None:
    async def told(http: httpx.AsyncClient, _: object) -> None:
        assert (await http.get("/metrics")).status_code == 401
        scrape = await http.get("/metrics", headers={"Authorization": f"Bearer {ADMIN}"})
        assert scrape.status_code == 200
        assert "quarry_ready 1.0" in scrape.text
        assert (await http.get("/v1/status", headers={"Authorization": f"Bearer {ADMIN}"})).status_code == 404

    asyncio.run(_asked(settings, told))


def test_its_connections_are_few_and_its_own(settings: Settings) -> None:
    async def told(_: object, alone: Any) -> None:  # noqa: ANN401  an application
        connections = alone.state.connections
        assert [connections.make_room(count) for count in (1, 16, 17)] == [True, True, False]

    asyncio.run(_asked(settings, told))
