"""A model's bytes: from its configuration, from its files, or as given."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from service.capacity.errors import CapacityError, ModelConfigError, PlacementError, UnknownArchitectureError
from service.capacity.language_model import LanguageModel

Shape = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, shape: Shape) -> Callable[..., Path]:
    """A folder with a config.json and, where tensors are given, safetensors."""

    def make(tensors: dict[str, Any] | None = None, **changes: Any) -> Path:  # noqa: ANN401
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(shape("llama-3.1-8b", **changes)))
        if tensors:
            save_file(tensors, path / "model.safetensors")
        return path

    return make


def test_a_configuration_alone_is_counted(folder: Callable[..., Path]) -> None:
    for path in (folder(), folder() / "config.json"):
        model = LanguageModel.read(path)
        assert (model.name, model.folder, model.parameters) == ("model", folder(), 8_030_261_248)
        assert (model.weights(1).bytes, model.weights(1).is_exact) == (2 * 8_030_261_248, True)
        half = model.weights(2).bytes
        assert half > 8_030_261_248  # what is not shared out is on both
        assert half == pytest.approx(8_030_261_248, rel=0.001)


@pytest.mark.parametrize(
    ("declared", "dtype", "width"),
    [("bfloat16", "auto", 2), ("float32", "auto", 2), ("bfloat16", "float32", 4), ("torch.float16", "auto", 2)],
)
def test_the_dtype_is_the_one_vllm_computes_in(
    declared: str, dtype: str, width: int, folder: Callable[..., Path]
) -> None:
    assert LanguageModel.read(folder(torch_dtype=declared), dtype).width == width


def test_files_say_exactly_what_is_loaded(folder: Callable[..., Path]) -> None:
    tensors = {
        "a": np.zeros((3, 5), np.float32),
        "b": np.zeros(7, np.float16),
        "lm_head.weight": np.zeros(2, np.float16),
    }
    assert LanguageModel.read(folder(tensors)).weights(1).bytes == 2 * (15 + 7 + 2)
    assert LanguageModel.read(folder(tensors)).weights(1).is_exact
    assert LanguageModel.read(folder(tensors, tie_word_embeddings=True)).weights(1).bytes == 2 * (15 + 7)
    assert LanguageModel.read(folder(tensors), "float32").weights(1).bytes == 4 * (15 + 7 + 2)


def test_quantised_files_stay_as_they_are(folder: Callable[..., Path]) -> None:
    tensors = {"packed": np.zeros((4, 8), np.int32), "scales": np.zeros(6, np.float32)}
    for method in ("gptq", "never-heard-of"):
        model = LanguageModel.read(folder(tensors, quantization_config={"quant_method": method, "bits": 4}))
        assert model.weights(1).bytes == 4 * 8 * 4 + 6 * 4
        assert model.in_float8() is None


def test_files_and_given_bytes_stand_in_for_an_unknown_architecture(folder: Callable[..., Path]) -> None:
    with pytest.raises(UnknownArchitectureError):
        LanguageModel.read(folder(model_type="mamba"))
    given = LanguageModel.read(folder(model_type="mamba"), given_bytes=1000)
    assert (given.weights(2).bytes, given.weights(2).is_exact, given.parameters) == (500, False, None)
    filed = LanguageModel.read(folder({"a": np.zeros(10, np.float16)}, model_type="mamba"))
    assert (filed.weights(1).bytes, filed.weights(2).bytes) == (20, 10)
    assert filed.kv_cache("auto", 1, 2048).token_bytes == 32 * 2 * 8 * 128 * 2


def test_a_model_for_images_too_is_sized_by_its_files(folder: Callable[..., Path], shape: Shape) -> None:
    text = shape("gemma-3-1b")
    path = folder({"a": np.zeros(10, np.float16)}, model_type="gemma3", text_config=text)
    model = LanguageModel.read(path)
    assert (model.weights(1).bytes, model.parameters) == (20, None)
    assert model.kv_cache("auto", 1, 2048).token_bytes == 26 * 2 * 256 * 2


def test_float8_halves_what_is_a_product(folder: Callable[..., Path]) -> None:
    small = LanguageModel.read(folder()).in_float8()
    assert small is not None
    assert small.weights(1).bytes == pytest.approx(9.08e9, rel=0.005)
    assert not small.weights(1).is_exact


def test_heads_have_to_come_out_even(folder: Callable[..., Path]) -> None:
    model = LanguageModel.read(folder())
    for cards in (1, 2, 4, 8, 16, 32):
        model.check_cards(cards)
    with pytest.raises(PlacementError, match="32 heads and 8 for keys and values: 3 cards cannot share them"):
        model.check_cards(3)


def test_unknown_dtypes_are_named(folder: Callable[..., Path]) -> None:
    with pytest.raises(CapacityError, match="'int3'"):
        LanguageModel.read(folder(), "int3")
    with pytest.raises(ModelConfigError, match="dtype is 'float64'"):
        LanguageModel.read(folder(torch_dtype="float64"))
    with pytest.raises(CapacityError, match="'int3'"):
        LanguageModel.read(folder()).kv_cache("int3", 1, 2048)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "holds a list"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 200_000, "cannot be read"),
        (b" " * (17 << 20), "larger than"),
    ],
)
def test_a_configuration_that_is_none_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelConfigError, match=said):
        LanguageModel.read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as safetensors"),
        (struct.pack("<Q", 1 << 40), "a header of"),
        (struct.pack("<Q", 4) + b"nope", "cannot be read as safetensors"),
        (struct.pack("<Q", 2) + b"[]", "the header is no object"),
        (struct.pack("<Q", 8) + b'{"a":{}}', "the header of a cannot be read"),
    ],
)
def test_files_that_are_no_safetensors_are_named(content: bytes, said: str, folder: Callable[..., Path]) -> None:
    (folder() / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelConfigError, match=said):
        LanguageModel.read(folder())
