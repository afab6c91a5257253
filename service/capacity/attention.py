"""The weights of attention, and what it keeps of every token."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.capacity.errors import ModelConfigError
from service.capacity.family import Family, Flag
from service.capacity.model_config import ModelConfig
from service.capacity.weight import Weight, linear, norm

# DeepSeek's configuration classes have it where a config.json says nothing; null means that queries are not compressed.
_QUERY_RANK = 1536


@dataclass(frozen=True, slots=True)
class Attention:
    """Heads of one layer.

    Attributes:
        heads: of queries.
        kv_heads: of keys and values, as the weights have them.
        width: of a head.
        kept: numbers that one token leaves in the cache, of one key-value head; of the whole layer where ``is_latent``.
        is_latent: keys and values are one latent vector that all heads share.
    """

    hidden: int
    heads: int
    kv_heads: int
    width: int
    kept: int
    is_latent: bool

    @classmethod
    def of(cls, config: ModelConfig, family: Family) -> "Attention":
        """What the configuration says.

        Raises:
            ModelConfigError: a field is missing, or the numbers do not go together.
        """
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        if family.latent:
            kept = config.count("kv_lora_rank") + config.count("qk_rope_head_dim")
            width = config.count("qk_nope_head_dim") + config.count("qk_rope_head_dim")
            return cls(hidden, heads, heads, width, kept, is_latent=True)
        kv_heads = config.count("num_key_value_heads", family.kv_heads or heads)
        if heads % kv_heads:
            raise ModelConfigError(
                f"{config.source}: num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}"
            )
        width = config.count("head_dim", family.head_width or max(1, hidden // heads))
        return cls(hidden, heads, kv_heads, width, 2 * width, is_latent=False)


def attention_weights(config: ModelConfig, family: Family, layer: str) -> Iterator[Weight]:
    """Those of ``layer``, e.g. ``model.layers.0``."""
    shape = Attention.of(config, family)
    if shape.is_latent:
        yield from _latent(config, shape, f"{layer}.self_attn", is_set(config, family.output_bias))
        return
    prefix, queries = f"{layer}.self_attn", shape.heads * shape.width
    bias = is_set(config, family.qkv_bias)
    yield from linear(f"{prefix}.q_proj", shape.hidden, queries, bias=bias)
    for name in ("k_proj", "v_proj"):
        yield from linear(f"{prefix}.{name}", shape.hidden, shape.kv_heads * shape.width, "heads", bias)
    yield from linear(f"{prefix}.o_proj", queries, shape.hidden)
    if is_set(config, family.output_bias):
        yield Weight(f"{prefix}.o_proj", "bias", 1, shape.hidden, "whole")
    if family.normed_heads:
        yield norm(f"{prefix}.q_norm", shape.width)
        yield norm(f"{prefix}.k_norm", shape.width)
    if family.sinks:
        yield Weight(f"{prefix}.sinks", "bias", 1, shape.heads)


def is_set(config: ModelConfig, flag: Flag) -> bool:
    """The answer, or what the field says that the flag names."""
    return flag if isinstance(flag, bool) else config.flag(*flag)


def _latent(config: ModelConfig, shape: Attention, prefix: str, bias: bool) -> Iterator[Weight]:
    """Multi-head latent attention (DeepSeek-V2, 2024, section 2.1): what all heads share is on every card."""
    latent, rotated = config.count("kv_lora_rank"), config.count("qk_rope_head_dim")
    plain, values = config.count("qk_nope_head_dim"), config.count("v_head_dim")
    queries = shape.heads * shape.width
    if "q_lora_rank" in config.values and not config.has("q_lora_rank"):
        yield from linear(f"{prefix}.q_proj", shape.hidden, queries)
    else:
        rank = config.count("q_lora_rank", _QUERY_RANK)
        yield from linear(f"{prefix}.q_a_proj", shape.hidden, rank, "whole", bias)
        yield norm(f"{prefix}.q_a_layernorm", rank)
        yield from linear(f"{prefix}.q_b_proj", rank, queries)
    yield from linear(f"{prefix}.kv_a_proj_with_mqa", shape.hidden, latent + rotated, "whole", bias)
    yield norm(f"{prefix}.kv_a_layernorm", latent)
    yield from linear(f"{prefix}.kv_b_proj", latent, shape.heads * (plain + values))
    yield from linear(f"{prefix}.o_proj", shape.heads * values, shape.hidden)
    if bias:
        yield Weight(f"{prefix}.o_proj", "bias", 1, shape.hidden, "whole")
