"""What the real server says of its KV cache, for whoever predicts it."""

import pytest

from vllm_on_cpu.server import KV_BYTES, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]


def test_bytes_and_tokens_are_those_of_the_model(vllm: VllmServer) -> None:
    from vllm_on_cpu.tiny_llama import KV_BYTES_PER_TOKEN  # noqa: PLC0415  torch, only where a server runs

    cache = vllm.kv_cache()
    assert cache.bytes == KV_BYTES
    assert cache.tokens * KV_BYTES_PER_TOKEN == cache.bytes
