"""The embedders of a process, by name and by what made the vectors of a collection."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from models.hashing import HashingEmbedder
from service.embedders import Embedders
from service.errors import ModelNotServedError

Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def test_by_name_and_by_fingerprint(scripted: Scripted, open_engine: OpenEngine) -> None:
    devices = (
        scripted(HashingEmbedder(64), name="first"),
        scripted(HashingEmbedder(32), name="second"),
        scripted(HashingEmbedder(32), name="same-weights"),
    )

    async def scenario() -> None:
        async with open_engine(*devices) as opened:
            first, second, same = opened.batchers
            embedders = Embedders(opened.batchers)
            assert embedders.default is first
            assert [info.name for info in embedders.infos()] == ["first", "second", "same-weights"]
            assert [embedders.named(name) for name in ("first", "second", "same-weights")] == [first, second, same]
            assert embedders.that_made(devices[0].info.fingerprint) is first
            assert embedders.that_made(devices[2].info.fingerprint) is second  # either would do; the first one does
            with pytest.raises(ModelNotServedError, match="'third' is not served here; there are first, second, same"):
                embedders.named("third")
            with pytest.raises(
                ModelNotServedError, match=r"embedder abcdefghijkl is not served here: .*embedding\.also"
            ):
                embedders.that_made("abcdefghijklmnop")

    asyncio.run(scenario())
