"""What the real server says of its KV cache, and what the plan predicts."""

from pathlib import Path

import pytest

from service.capacity.architecture import Architecture
from service.capacity.kv_cache import KvCache
from service.capacity.model_config import ModelConfig
from vllm_on_cpu.server import CONTEXT, KV_BYTES, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
# The CPU build's own defaults.
BLOCK_TOKENS, BATCHED_TOKENS = 128, 2048


def test_bytes_and_tokens_are_those_of_the_model(vllm: VllmServer) -> None:
    from vllm_on_cpu.tiny_llama import KV_BYTES_PER_TOKEN  # noqa: PLC0415  torch, only where a server runs

    cache = vllm.kv_cache()
    assert cache.bytes == KV_BYTES
    assert cache.tokens * KV_BYTES_PER_TOKEN == cache.bytes


def test_the_plan_predicts_them(vllm: VllmServer, tiny_weights: Path) -> None:
    architecture = Architecture.of(ModelConfig.read(tiny_weights))
    predicted = KvCache.of(architecture, 2, batched_tokens=BATCHED_TOKENS, block_tokens=BLOCK_TOKENS)
    cache = vllm.kv_cache()
    assert predicted.tokens(cache.bytes, CONTEXT) == cache.tokens
