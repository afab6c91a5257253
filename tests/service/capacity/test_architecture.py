"""Parameter counts, held to transformers' own on the meta device."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.capacity.architecture import Architecture
from service.capacity.embedder import Embedder
from service.capacity.errors import ModelConfigError, UnknownArchitectureError

Read = Callable[..., Architecture]
Shape = Callable[..., dict[str, Any]]

# As their publishers wrote them; the numbers are transformers'.
PUBLISHED = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "qwen2.5-7b": 7_615_616_512,
    "mixtral-8x7b": 46_702_792_704,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-0.6b": 596_049_920,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "mistral-7b-v0.1": 7_241_732_096,
    "phi-3-mini-4k": 3_821_079_552,
    "gemma-7b": 8_537_680_896,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-1b": 999_885_952,
    "gpt-oss-20b": 20_914_757_184,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_404_352,
}
# What no published shape above turns on.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama-3.1-8b", {"attention_bias": True}),
    ("llama-3.1-8b", {"mlp_bias": True}),
    ("llama-3.1-8b", {"head_dim": 64}),
    ("llama-3.1-8b", {"num_key_value_heads": None}),
    ("llama-3.1-8b", {"tie_word_embeddings": True}),
    ("qwen3-0.6b", {"attention_bias": True}),
    ("qwen3-0.6b", {"head_dim": None}),
    ("qwen3-30b-a3b", {"mlp_only_layers": [0, 5], "decoder_sparse_step": 2}),
    ("qwen3-30b-a3b", {"num_key_value_heads": None}),
    ("qwen1.5-moe-a2.7b", {"qkv_bias": False}),
    ("gemma-2-9b", {"tie_word_embeddings": False}),
    ("deepseek-v2-lite", {"q_lora_rank": 1024, "attention_bias": True}),
    ("gpt-oss-20b", {"attention_bias": False}),
)


def counted_by_transformers(values: dict[str, Any]) -> int:
    import torch  # noqa: PLC0415  loads only where it is used
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    values.pop("quantization_config", None)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    return int(model.num_parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_shape_has_as_many_parameters_as_transformers_makes(
    name: str, shape: Shape, architecture: Read
) -> None:
    assert architecture(name).parameters == PUBLISHED[name]
    assert counted_by_transformers(shape(name)) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "changes"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "".join(value)
)
def test_a_variant_does_too(name: str, changes: dict[str, Any], shape: Shape, architecture: Read) -> None:
    counted = architecture(name, **changes).parameters
    assert counted == counted_by_transformers(shape(name, **changes))
    assert counted != PUBLISHED[name] or changes in ({"head_dim": None}, {"num_key_value_heads": None})


def test_every_fixture_is_counted() -> None:
    fixtures = Path(__file__).parent / "fixtures"
    assert {path.stem for path in fixtures.glob("*.json")} == PUBLISHED.keys()


def test_the_parts_add_up_to_the_whole_on_any_number_of_cards(architecture: Read) -> None:
    for name in PUBLISHED:
        kv_heads = architecture(name).attention.kv_heads
        for weight in architecture(name).weights:
            shares = [weight.share(cards, kv_heads) for cards in (1, 2, 4)]
            assert shares[0] == 1
            assert all(share * cards >= 1 for share, cards in zip(shares, (1, 2, 4), strict=True))


def test_key_value_heads_are_repeated_where_there_are_more_cards_than_heads(architecture: Read) -> None:
    keys = next(weight for weight in architecture("qwen2.5-7b").weights if weight.module.endswith("k_proj"))
    assert [keys.share(cards, 4) * 4 for cards in (1, 2, 4, 14)] == [4, 2, 1, 1]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("llama-3.1-8b", "hidden_size"),
        ("llama-3.1-8b", "vocab_size"),
        ("llama-3.1-8b", "num_hidden_layers"),
        ("llama-3.1-8b", "num_attention_heads"),
        ("llama-3.1-8b", "intermediate_size"),
        ("llama-3.1-8b", "model_type"),
        ("mixtral-8x7b", "num_local_experts"),
        ("qwen3-30b-a3b", "moe_intermediate_size"),
        ("deepseek-v3", "kv_lora_rank"),
    ],
)
def test_a_missing_field_is_named(name: str, field: str, architecture: Read) -> None:
    with pytest.raises(ModelConfigError, match=f"{name} has no {field}"):
        architecture(name, **{field: None})


@pytest.mark.parametrize("value", ["4096", 0, -1, 1.5, True, [], 10**12])
def test_a_field_that_is_no_size_is_named(value: object, architecture: Read) -> None:
    with pytest.raises(ModelConfigError, match="hidden_size is"):
        architecture("llama-3.1-8b", hidden_size=value)


def test_heads_that_do_not_go_together_are_refused(architecture: Read) -> None:
    with pytest.raises(ModelConfigError, match="num_attention_heads 32 is no multiple of num_key_value_heads 7"):
        architecture("llama-3.1-8b", num_key_value_heads=7)


def test_an_unknown_architecture_says_what_to_give_instead(architecture: Read) -> None:
    with pytest.raises(UnknownArchitectureError, match=r"'mamba', and .*llama.*safetensors.*or --weights-bytes"):
        architecture("llama-3.1-8b", model_type="mamba")


def test_the_bundled_embedder_and_a_decoder_are_counted_as_transformers_does(shape: Shape, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415

    bundled = Embedder.read("all-MiniLM-L6-v2")
    assert (bundled.parameters, bundled.dimension) == (22_713_216, 384)
    path = tmp_path / "qwen3-embedding.json"
    path.write_text(json.dumps(shape("qwen3-0.6b", tie_word_embeddings=False)))
    assert Embedder.read(str(path)).parameters == PUBLISHED["qwen3-0.6b"]
    for kind in ("bert", "roberta", "xlm-roberta"):
        values = {"model_type": kind, "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3}
        values |= {
            "num_attention_heads": 4,
            "intermediate_size": 40,
            "max_position_embeddings": 20,
            "type_vocab_size": 1,
        }
        path.write_text(json.dumps(values))
        theirs = AutoModel.from_config(AutoConfig.for_model(**values)).num_parameters()
        assert Embedder.read(str(path)).parameters == theirs
