"""Running out of a real card's memory, through the engine."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
import torch

from models.memory import cap_at
from models.transformer import TransformerEmbedder
from service.scheduling.job import Lane

TEXTS = ["a tombstone marks a row until its segment is rebuilt without it " * 20] * 2048


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_that_does_not_fit_is_answered_in_pieces(
    open_engine: Callable[..., AbstractAsyncContextManager[Any]],
) -> None:
    embedder = TransformerEmbedder.load("all-MiniLM-L6-v2", device="cuda:0")
    cap_at(embedder.warm_up(4096), "cuda:0")

    async def scenario() -> None:
        async with open_engine(embedder, depth=2) as opened:
            embedded = await opened.asked(*TEXTS, lane=Lane.QUERY)
            assert opened.value("quarry_oom_splits_total") > 0
            np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1.0, atol=1e-2)
            assert (await opened.asked("alpha")).vectors.shape == (1, 384)

    asyncio.run(asyncio.wait_for(scenario(), 300))
