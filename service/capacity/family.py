"""Family: in what known architectures differ. Defaults are those of transformers' configuration classes."""

from dataclasses import dataclass, replace
from typing import Literal

# A fixed answer, or a field of the configuration with its default.
Flag = bool | tuple[str, bool]
# Which layers attend to a window: all where sliding_window is given; those of layer_types; or by a rule.
Windows = Literal["never", "all", "switched", "alternating", "five of six"]


@dataclass(frozen=True, slots=True)
class ExpertFields:
    """Names that a mixture of experts gives to its fields.

    Attributes:
        count: field of the number of experts.
        width: field of an expert's inner width.
        shared_width: field of the inner width of the expert that every token takes, behind a gate of its own.
        shared_count: field of the number of experts of ``width`` that every token takes.
        biased: router and experts add something.
    """

    count: str
    width: str
    shared_width: str | None = None
    shared_count: str | None = None
    biased: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """One ``model_type``.

    Attributes:
        kv_heads: where the configuration has none; None is as many as attention heads.
        head_width: likewise; None is ``hidden_size / num_attention_heads``.
        tied: the default of ``tie_word_embeddings``.
        qkv_bias: queries, keys and values add something.
        output_bias: so does the product after attention.
        mlp_bias: so do the products of the feed-forward.
        normed_heads: queries and keys are normalised.
        norms: normalisations of a layer beside these.
        sinks: attention has one number for each head.
        windows: which layers attend to a window.
        window: the default of ``sliding_window``.
        experts: where it mixes experts.
        latent: keys and values are compressed into one latent vector (DeepSeek's MLA).
    """

    kv_heads: int | None = None
    head_width: int | None = None
    tied: bool = False
    qkv_bias: Flag = False
    output_bias: Flag = False
    mlp_bias: Flag = False
    normed_heads: bool = False
    norms: int = 2
    sinks: bool = False
    windows: Windows = "never"
    window: int | None = None
    experts: ExpertFields | None = None
    latent: bool = False


_BY_FIELD: Flag = ("attention_bias", False)
_QWEN_EXPERTS = ExpertFields("num_experts", "moe_intermediate_size")
_DEEPSEEK = Family(
    qkv_bias=_BY_FIELD,
    output_bias=_BY_FIELD,
    experts=ExpertFields("n_routed_experts", "moe_intermediate_size", shared_count="n_shared_experts"),
    latent=True,
)
_QWEN3 = Family(
    kv_heads=32,
    head_width=128,
    qkv_bias=_BY_FIELD,
    output_bias=_BY_FIELD,
    normed_heads=True,
    windows="switched",
    window=4096,
)
_GEMMA = Family(head_width=256, tied=True, qkv_bias=_BY_FIELD, output_bias=_BY_FIELD)
_GEMMA2 = replace(_GEMMA, kv_heads=4, norms=4, windows="alternating", window=4096)

FAMILIES: dict[str, Family] = {
    "llama": Family(qkv_bias=_BY_FIELD, output_bias=_BY_FIELD, mlp_bias=("mlp_bias", False)),
    "mistral": Family(kv_heads=8, windows="all", window=4096),
    "mixtral": Family(kv_heads=8, windows="all", experts=ExpertFields("num_local_experts", "intermediate_size")),
    "phi3": Family(windows="all"),
    "qwen2": Family(kv_heads=32, qkv_bias=True, windows="switched", window=4096),
    "qwen2_moe": Family(
        kv_heads=16,
        qkv_bias=("qkv_bias", True),
        windows="switched",
        window=4096,
        experts=ExpertFields("num_experts", "moe_intermediate_size", "shared_expert_intermediate_size"),
    ),
    "qwen3": _QWEN3,
    "qwen3_moe": replace(_QWEN3, kv_heads=4, head_width=None, experts=_QWEN_EXPERTS),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, normed_heads=True, windows="five of six"),
    "gpt_oss": Family(
        kv_heads=8,
        head_width=64,
        qkv_bias=("attention_bias", True),
        output_bias=("attention_bias", True),
        sinks=True,
        windows="alternating",
        window=128,
        experts=ExpertFields("num_local_experts", "intermediate_size", biased=True),
    ),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
}
