"""A model that returns something else than rows: its callers are told, and the next ones are served."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import pytest

from models.base import Finished, Launched, TokenIds
from models.hashing import HashingEmbedder
from service.batching import Embedded
from service.errors import EmbedderUnavailableError
from service.scheduling.job import Lane

PATIENCE_S = 200.0

T = TypeVar("T")
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def too_few_rows(launched: Launched) -> object:
    return Finished(1, launched.result()[:-1])


def too_narrow_rows(launched: Launched) -> object:
    return Finished(1, launched.result()[:, :-1])


def one_column(launched: Launched) -> object:
    return Finished(1, launched.result()[:, :1])


def flat(launched: Launched) -> object:
    return Finished(1, launched.result()[:, 0])


def no_rows_at_all(_: Launched) -> object:
    return None


@pytest.mark.parametrize("garbled", [too_few_rows, too_narrow_rows, one_column, flat, no_rows_at_all])
def test_a_model_that_returns_garbage_does_not_end_the_loop(
    garbled: Callable[[Launched], object], open_engine: OpenEngine
) -> None:
    class Garbled(HashingEmbedder):
        is_broken = True

        def launch(self, batch: Sequence[TokenIds]) -> Any:  # noqa: ANN401  that is the point
            launched = super().launch(batch)
            return garbled(launched) if self.is_broken else launched

    device = Garbled()

    async def scenario() -> Embedded:
        async with open_engine(device) as opened:
            with pytest.raises(EmbedderUnavailableError, match="the forward failed: "):
                await opened.asked("alpha", "beta")
            device.is_broken = False
            return await opened.asked("alpha", lane=Lane.QUERY)

    assert run(scenario()).tokens == 1
