"""Architecture: every weight of a language model, from its config.json alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.capacity.attention import Attention, attention_weights, is_set
from service.capacity.errors import UnknownArchitectureError
from service.capacity.family import FAMILIES, ExpertFields, Family
from service.capacity.model_config import ModelConfig
from service.capacity.weight import Weight, norm

# Gemma 3 looks at everything in every sixth layer, Gemma 2 and gpt-oss in every second.
_WHOLE_EVERY = {"alternating": 2, "five of six": 6}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is known of a model without loading it.

    Attributes:
        layers: that attend.
        windowed_layers: of these, those that attend to the last ``window`` tokens only.
        intermediate: widest inner width of a feed-forward that one token goes through.
        positions: longest sequence it was made for; None where the configuration does not say.
    """

    weights: tuple[Weight, ...]
    attention: Attention
    layers: int
    windowed_layers: int
    window: int | None
    hidden: int
    intermediate: int
    vocabulary: int
    positions: int | None

    @classmethod
    def of(cls, config: ModelConfig) -> "Architecture":
        """Count the weights.

        Raises:
            UnknownArchitectureError: no formula for its ``model_type``.
            ModelConfigError: a field is missing or cannot be.
        """
        family = family_of(config)
        return cls._read(config, family, tuple(_weights(config, family)))

    @classmethod
    def of_cache(cls, config: ModelConfig) -> "Architecture":
        """What the cache needs to know, also of a kind whose weights no formula counts: then there are none.

        Raises:
            ModelConfigError: as ``of``.
        """
        text = config.section("text_config") or config
        if text.text("model_type", "unknown") in FAMILIES:
            known = cls.of(text)
            return known if text is config else replace(known, weights=())
        return cls._read(text, Family(), ())

    @classmethod
    def _read(cls, config: ModelConfig, family: Family, weights: tuple[Weight, ...]) -> "Architecture":
        windowed = _windowed_layers(config, family)
        return cls(
            weights=weights,
            attention=Attention.of(config, family),
            layers=config.count("num_hidden_layers"),
            windowed_layers=windowed,
            window=config.count("sliding_window", family.window) if windowed else None,
            hidden=config.count("hidden_size"),
            intermediate=_intermediate(config, family),
            vocabulary=config.count("vocab_size"),
            positions=config.count("max_position_embeddings") if config.has("max_position_embeddings") else None,
        )

    @property
    def parameters(self) -> int:
        """Numbers in the model; embeddings that serve as the head too are counted once."""
        return sum(weight.parameters for weight in self.weights)


def family_of(config: ModelConfig) -> Family:
    """How the model's kind is built.

    Raises:
        UnknownArchitectureError: it is not known.
    """
    name = config.text("model_type")
    if name not in FAMILIES:
        raise UnknownArchitectureError(
            f"{config.source}: model_type is {name!r}, and weights are counted for {', '.join(sorted(FAMILIES))}. "
            "Give the folder with its safetensors, whose sizes are added up, or --weights-bytes"
        )
    return FAMILIES[name]


def _weights(config: ModelConfig, family: Family) -> Iterator[Weight]:
    vocabulary, hidden = config.count("vocab_size"), config.count("hidden_size")
    yield Weight("model.embed_tokens", "embedding", hidden, vocabulary)
    for number in range(config.count("num_hidden_layers")):
        layer = f"model.layers.{number}"
        yield from attention_weights(config, family, layer)
        if family.experts and _mixes(config, number):
            yield from _experts(config, family.experts, layer)
        else:
            bias = is_set(config, family.mlp_bias)
            yield from _feed_forward(f"{layer}.mlp", hidden, config.count("intermediate_size"), bias)
        for place in range(family.norms):
            yield norm(f"{layer}.norm_{place}", hidden)
    yield norm("model.norm", hidden)
    if not config.flag("tie_word_embeddings", family.tied):
        yield Weight("lm_head", "head", hidden, vocabulary)


def _feed_forward(module: str, hidden: int, inner: int, bias: bool = False, count: int = 1) -> Iterator[Weight]:
    for name, inputs, outputs in (
        ("gate_proj", hidden, inner),
        ("up_proj", hidden, inner),
        ("down_proj", inner, hidden),
    ):
        yield Weight(f"{module}.{name}", "linear", inputs, outputs, count=count)
        if bias:
            yield Weight(f"{module}.{name}", "bias", 1, outputs, "whole" if name == "down_proj" else "even", count)


def _experts(config: ModelConfig, fields: ExpertFields, layer: str) -> Iterator[Weight]:
    hidden, count, inner = config.count("hidden_size"), config.count(fields.count), config.count(fields.width)
    yield Weight(f"{layer}.mlp.gate", "router", hidden, count, "whole")
    if fields.biased:
        yield Weight(f"{layer}.mlp.gate", "bias", 1, count, "whole")
    yield from _feed_forward(f"{layer}.mlp.experts.0", hidden, inner, fields.biased, count)
    if fields.shared_width:
        yield from _feed_forward(f"{layer}.mlp.shared_expert", hidden, config.count(fields.shared_width))
        yield Weight(f"{layer}.mlp.shared_expert_gate", "router", hidden, 1, "whole")
    if fields.shared_count and config.has(fields.shared_count):
        yield from _feed_forward(f"{layer}.mlp.shared_experts", hidden, inner * config.count(fields.shared_count))


def _mixes(config: ModelConfig, number: int) -> bool:
    """Whether a layer of a mixture of experts is one: Qwen's two fields, and DeepSeek's two."""
    if number in config.sequence("mlp_only_layers") or (number + 1) % config.count("decoder_sparse_step", 1):
        return False
    first = config.index("first_k_dense_replace", 0)
    return number >= first and number % config.count("moe_layer_freq", 1) == 0


def _intermediate(config: ModelConfig, family: Family) -> int:
    dense = config.count("intermediate_size", 1)
    if family.experts is None:
        return dense
    active = config.count("num_experts_per_tok", 1) * config.count(family.experts.width)
    return max(dense, active)


def _windowed_layers(config: ModelConfig, family: Family) -> int:
    """How many layers keep only a window, as transformers' configuration classes decide it."""
    layers = config.count("num_hidden_layers")
    says_none = "sliding_window" in config.values and not config.has("sliding_window")
    if family.windows == "never" or says_none or not (config.has("sliding_window") or family.window):
        return 0
    if family.windows == "switched" and not config.flag("use_sliding_window", False):
        return 0
    if config.has("layer_types"):
        return config.sequence("layer_types").count("sliding_attention")
    if family.windows == "switched":
        return max(0, layers - config.index("max_window_layers", 0))
    every = _WHOLE_EVERY.get(family.windows)
    return layers - layers // every if every else layers
