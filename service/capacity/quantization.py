"""Quantization: how many bytes a weight takes, by the quantization_config of its model."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

from service.capacity.errors import ModelConfigError, UnknownArchitectureError
from service.capacity.model_config import ModelConfig
from service.capacity.weight import Weight

_FLOAT16, _FLOAT32, _INT32 = 2, 4, 4
# bitsandbytes' block, and the blocks whose scales share one where they are quantised again.
_NF4_BLOCK, _NESTED_BLOCK = 64, 256
_MX_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a compressed matrix takes beside its numbers.

    Attributes:
        bits: of a number.
        block: ``(inputs, outputs)`` numbers that share a scale; 0 is all of them.
        scale_bytes: of one scale.
        has_zeros: a number of as many bits goes with each scale.
        has_order: an int32 for each input says which group it is in (GPTQ).
    """

    bits: int
    block: tuple[int, int]
    scale_bytes: Fraction
    has_zeros: bool = False
    has_order: bool = False

    def bytes(self, weight: Weight) -> int:
        """Of all ``count`` tensors."""
        inputs, outputs = self.block[0] or weight.inputs, self.block[1] or weight.outputs
        scales = ceil(weight.inputs / inputs) * ceil(weight.outputs / outputs)
        taken = Fraction(weight.inputs * weight.outputs * self.bits, 8) + scales * self.scale_bytes
        taken += Fraction(scales * self.bits, 8) if self.has_zeros else 0
        taken += weight.inputs * _INT32 if self.has_order else 0
        return ceil(taken) * weight.count


@dataclass(frozen=True, slots=True)
class Quantization:
    """A scheme, and what it leaves alone.

    Attributes:
        method: as ``quant_method`` has it.
        includes_head: the last product is compressed too.
        left_out: names of modules that are not, or parts of such names between dots.
    """

    method: str
    scheme: Scheme
    includes_head: bool = False
    left_out: tuple[str, ...] = ()
    _patterns: tuple[re.Pattern[str], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, config: ModelConfig) -> "Quantization | None":
        """Of a model; None where nothing is compressed.

        Raises:
            UnknownArchitectureError: a method that is not known here.
            ModelConfigError: a field is missing or cannot be.
        """
        section = config.section("quantization_config") or config.section("compression_config")
        if section is None:
            return None
        method = section.text("quant_method", "bitsandbytes" if section.has("load_in_4bit") else None)
        if method not in _METHODS:
            raise UnknownArchitectureError(
                f"{section.source}: quant_method is {method!r}; known are {', '.join(sorted(_METHODS))}. "
                "Give the folder with its safetensors, whose sizes are added up, or --weights-bytes"
            )
        left_out = [name for key in _LISTS for name in section.sequence(key)]
        if not all(isinstance(name, str) for name in left_out):
            raise ModelConfigError(f"{section.source}: {' or '.join(_LISTS)} holds something else than names")
        plain = tuple(dict.fromkeys(name for name in left_out if not _is_pattern(name)))
        try:
            patterns = tuple(_pattern(name) for name in left_out if _is_pattern(name))
        except re.error as error:
            raise ModelConfigError(f"{section.source}: {error} in a pattern of what is left out") from error
        return cls(method, _METHODS[method](section), section.flag("lm_head", False), plain, patterns)

    def bytes(self, weight: Weight, width: int) -> int:
        """Of a weight; ``width`` bytes a number where it is not compressed."""
        return self.scheme.bytes(weight) if self.takes(weight) else weight.parameters * width

    def takes(self, weight: Weight) -> bool:
        """It is compressed."""
        if weight.kind != "linear" and not (weight.kind == "head" and self.includes_head):
            return False
        if any(pattern.match(weight.module) for pattern in self._patterns):
            return False
        return not any(f".{name}." in f".{weight.module}." for name in self.left_out)


def _is_pattern(name: str) -> bool:
    return name.startswith("re:") or "*" in name


def _pattern(name: str) -> re.Pattern[str]:
    """``re:`` begins a regular expression; a star stands for anything else, and what is below is meant too."""
    if name.startswith("re:"):
        return re.compile(name.removeprefix("re:"))
    return re.compile(".*".join(map(re.escape, name.split("*"))) + r"(\.|$)")


# Where the methods name what they leave alone.
_LISTS = ("modules_to_not_convert", "ignore", "llm_int8_skip_modules")


def _fp8(section: ModelConfig) -> Scheme:
    """Float8: one float32 scale for each block of DeepSeek's kind, or for the tensor."""
    block = section.sequence("weight_block_size")
    if not block:
        return Scheme(8, (0, 0), Fraction(_FLOAT32))
    if len(block) != 2 or not all(isinstance(size, int) and size > 0 for size in block):  # noqa: PLR2004  rows, columns
        raise ModelConfigError(f"{section.source}: weight_block_size is {block!r}, not two sizes")
    return Scheme(8, (block[1], block[0]), Fraction(_FLOAT32))


def _grouped(section: ModelConfig, *, bits: str, zeros: Callable[[ModelConfig], bool], order: bool) -> Scheme:
    """AWQ and GPTQ: a float16 scale for each group of inputs and each output. -1 is one group of all inputs."""
    group = 0 if section.values.get("group_size") == -1 else section.count("group_size", 128)
    return Scheme(section.count(bits), (group, 1), Fraction(_FLOAT16), zeros(section), order)


def _bitsandbytes(section: ModelConfig) -> Scheme:
    """Eight bits with a float32 scale a row, or four with one for 64 numbers, itself in eight bits where nested."""
    if not section.flag("load_in_4bit", False):
        return Scheme(8, (0, 1), Fraction(_FLOAT32))
    nested = section.flag("bnb_4bit_use_double_quant", False)
    scale = 1 + Fraction(_FLOAT32, _NESTED_BLOCK) if nested else Fraction(_FLOAT32)
    return Scheme(4, (_NF4_BLOCK, 1), scale)


def _compressed_tensors(section: ModelConfig) -> Scheme:
    """The first group's weights stand for all: published models have one."""
    groups = section.section("config_groups")
    first: Any = next(iter(groups.values.values()), None) if groups else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        raise ModelConfigError(f"{section.source} has no config_groups with weights")
    scheme = ModelConfig(f"{section.source}, config_groups, weights", weights)
    bits, zeros = scheme.count("num_bits"), not scheme.flag("symmetric", True)
    blocks = {"tensor": (0, 0), "channel": (0, 1)}
    strategy = scheme.text("strategy", "group" if scheme.has("group_size") else "tensor")
    if strategy == "block":
        size = scheme.sequence("block_structure")
        return _fp8(ModelConfig(scheme.source, {"weight_block_size": size or [128, 128]}))
    if strategy in {"group", "tensor_group"}:
        # NVFP4 has a float8 scale for 16 numbers.
        width = Fraction(1 if strategy == "tensor_group" else _FLOAT16)
        return Scheme(bits, (scheme.count("group_size"), 1), width, zeros)
    if strategy not in blocks:
        raise ModelConfigError(f"{scheme.source}: strategy is {strategy!r}, not tensor, channel, group or block")
    return Scheme(bits, blocks[strategy], Fraction(_FLOAT32), zeros)


_METHODS: dict[str, Callable[[ModelConfig], Scheme]] = {
    "fp8": _fp8,
    "awq": partial(_grouped, bits="bits", zeros=lambda section: section.flag("zero_point", True), order=False),
    "gptq": partial(_grouped, bits="bits", zeros=lambda _: True, order=True),
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed_tensors,
    "mxfp4": lambda _: Scheme(4, (_MX_BLOCK, 1), Fraction(1)),
}
FP8 = Quantization("fp8", Scheme(8, (0, 1), Fraction(_FLOAT32)))
