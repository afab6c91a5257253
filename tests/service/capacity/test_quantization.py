"""What quantised weights take."""

from collections.abc import Callable
from typing import Any

import pytest

from service.capacity.architecture import Architecture
from service.capacity.errors import ModelConfigError, UnknownArchitectureError
from service.capacity.model_config import ModelConfig
from service.capacity.quantization import Quantization
from service.capacity.weight import Weight

Shape = Callable[..., dict[str, Any]]
MATRIX = Weight("model.layers.0.self_attn.q_proj", "linear", 256, 128)


def tensors(bits: int, type_: str, strategy: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    weights = {"num_bits": bits, "type": type_, "strategy": strategy, "symmetric": True, **more}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "ignore": ["lm_head"], "config_groups": groups}


def of(section: dict[str, Any]) -> Quantization:
    quantization = Quantization.of(ModelConfig("here", {"quantization_config": section}))
    assert quantization is not None
    return quantization


@pytest.mark.parametrize(
    ("section", "taken"),
    [
        ({"quant_method": "fp8"}, 256 * 128 + 4),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 256 * 128 + 2 * 4),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 256 * 64 + 2 * 128 * 2 + 2 * 64),
        ({"quant_method": "awq", "bits": 4, "zero_point": False}, 256 * 64 + 2 * 128 * 2),
        ({"quant_method": "gptq", "bits": 4, "group_size": 64}, 256 * 64 + 4 * 128 * 2 + 4 * 64 + 256 * 4),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 256 * 128 + 128 * 2 + 128 + 256 * 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 256 * 128 + 128 * 4),
        ({"load_in_4bit": True}, 256 * 64 + 4 * 128 * 4),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 256 * 64 + 4 * 128 + 4 * 128 // 256 * 4),
        ({"quant_method": "mxfp4"}, 256 * 64 + 8 * 128),
        (tensors(8, "float", "tensor"), 256 * 128 + 4),
        (tensors(8, "int", "channel"), 256 * 128 + 128 * 4),
        (tensors(4, "int", "group", group_size=128), 256 * 64 + 2 * 128 * 2),
        (tensors(4, "float", "tensor_group", group_size=16), 256 * 64 + 16 * 128),
        (tensors(8, "float", "block", block_structure=[128, 128]), 256 * 128 + 2 * 4),
    ],
)
def test_a_matrix_takes_its_numbers_and_their_scales(section: dict[str, Any], taken: int) -> None:
    assert of(section).bytes(MATRIX, 2) == taken


@pytest.mark.parametrize(
    ("name", "section", "published"),
    [
        ("llama-3.1-8b", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 5.73e9),
        ("llama-3.1-8b", {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}, 5.74e9),
        ("llama-3.1-8b", {"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 5.70e9),
        ("llama-3.1-8b", tensors(8, "float", "tensor"), 9.08e9),
        ("qwen2.5-7b", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 5.57e9),
    ],
)
def test_a_model_takes_what_its_published_files_do(
    name: str, section: dict[str, Any], published: float, shape: Shape
) -> None:
    config = ModelConfig(name, shape(name, quantization_config=section))
    quantization = of(section)
    taken = sum(quantization.bytes(weight, 2) for weight in Architecture.of(config).weights)
    assert taken == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize("kind", ["embedding", "head", "router", "norm", "bias"])
def test_only_products_are_compressed(kind: Any) -> None:  # noqa: ANN401
    assert of({"quant_method": "fp8"}).bytes(Weight("lm_head", kind, 8, 8), 2) == 128


def test_the_head_is_compressed_where_it_says_so() -> None:
    section = {"quant_method": "gptq", "bits": 4, "lm_head": True}
    assert of(section).takes(Weight("lm_head", "head", 256, 128))


@pytest.mark.parametrize(
    ("left_out", "is_taken"),
    [
        (["lm_head"], True),
        (["model.layers.0.self_attn.q_proj"], False),
        (["self_attn"], False),
        (["model.layers.1.self_attn.q_proj"], True),
        (["q_pro"], True),
        (["re:.*self_attn.*"], False),
        (["model.layers.*.self_attn"], False),
        (["model.layers.*.mlp"], True),
    ],
)
@pytest.mark.parametrize("key", ["modules_to_not_convert", "ignore", "llm_int8_skip_modules"])
def test_modules_that_are_named_are_left_alone(key: str, left_out: list[str], is_taken: bool) -> None:
    assert of({"quant_method": "fp8", key: left_out}).takes(MATRIX) is is_taken


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"quant_method": "awq"}, "has no bits"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size is"),
        ({"quant_method": "fp8", "ignore": [3]}, "something else than names"),
        ({"quant_method": "fp8", "ignore": ["re:("]}, "in a pattern of what is left out"),
        ({"quant_method": "compressed-tensors"}, "has no config_groups with weights"),
        (tensors(8, "int", "spiral"), "strategy is 'spiral'"),
        ({"bits": 4}, "has no quant_method"),
    ],
)
def test_what_cannot_be_read_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelConfigError, match=said):
        of(section)


def test_an_unknown_method_says_what_to_give_instead() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"'squeezellm'; known are .*awq.*safetensors.*--weights-bytes"):
        of({"quant_method": "squeezellm"})
