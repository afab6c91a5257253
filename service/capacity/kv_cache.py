"""KvCache: what vLLM makes of so many bytes, as its v1/core/kv_cache_utils.py does (0.32).

Layers that keep all tokens and layers that keep a window are put into groups of equally many layers. A block holds
some tokens of one group; all groups draw from one pool, so every block has the size of a group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from service.capacity.architecture import Architecture

BLOCK_TOKENS = 16  # vLLM's default on a GPU; on the CPU it is 128
KV_WIDTHS: Mapping[str, int] = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "bfloat16": 2, "float16": 2}
# With asynchronous scheduling, vLLM's default, two batches are under way at once.
_CONCURRENT_BATCHES = 2
# One block of the pool never holds anything.
_NULL_BLOCKS = 1
# One kind of layer is filled up to the number of the other where that is less than so many times as many.
_FILLED_UP_TO = 1.5


@dataclass(frozen=True, slots=True)
class KvCache:
    """On one card.

    Attributes:
        layer_token_bytes: of one token in one layer.
        whole_layers: that keep every token.
        windowed_layers: that keep the last ``window`` tokens.
        batched_tokens: vLLM's ``max_num_batched_tokens``: those are kept beyond the window while they are worked on.
        block_tokens: tokens of a block.
    """

    layer_token_bytes: int
    whole_layers: int
    windowed_layers: int = 0
    window: int = 0
    batched_tokens: int = 8192
    block_tokens: int = BLOCK_TOKENS

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        width: int,
        cards: int = 1,
        batched_tokens: int = 8192,
        block_tokens: int = BLOCK_TOKENS,
    ) -> "KvCache":
        """Of a model.

        Args:
            width: bytes of a number in the cache.
            cards: of tensor parallelism. Each has its part of the key-value heads, one at the least; a latent vector
                is on all of them.
        """
        attention = architecture.attention
        heads = 1 if attention.is_latent else max(1, attention.kv_heads // cards)
        windowed = architecture.windowed_layers
        whole = architecture.layers - windowed
        return cls(
            heads * attention.kept * width, whole, windowed, architecture.window or 0, batched_tokens, block_tokens
        )

    @property
    def token_bytes(self) -> int:
        """Of one token in every layer: what each further token takes while it is within the window."""
        return self.layer_token_bytes * (self.whole_layers + self.windowed_layers)

    @property
    def block_bytes(self) -> int:
        """Of one block of the pool."""
        return self.layer_token_bytes * self.block_tokens * self._group_layers

    def blocks_for(self, context: int) -> int:
        """Blocks that one sequence of so many tokens takes at most."""
        whole = ceil(self.whole_layers / self._group_layers) * ceil(context / self.block_tokens)
        if not self.windowed_layers:
            return whole
        kept = min(self.window - 1 + _CONCURRENT_BATCHES * self.batched_tokens, context)
        # A window may begin within a block.
        blocks = ceil(kept / self.block_tokens) + 1
        return whole + ceil(self.windowed_layers / self._group_layers) * blocks

    def tokens(self, size: int, context: int) -> int:
        """What vLLM logs as "KV cache size" for so many bytes and ``--max-model-len``."""
        return int(size // self.block_bytes / self.blocks_for(context) * context)

    def sequences(self, size: int, context: int) -> int:
        """Sequences of ``context`` tokens that can be written at once; below 1 vLLM refuses to start."""
        return max(0, size // self.block_bytes - _NULL_BLOCKS) // self.blocks_for(context)

    @property
    def _group_layers(self) -> int:
        kinds = [layers for layers in (self.whole_layers, self.windowed_layers) if layers]
        least, most = min(kinds), max(kinds)
        return most if most < _FILLED_UP_TO * least else least
