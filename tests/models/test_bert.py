"""BertEncoder against the Hugging Face modules whose weights it runs, and its packed form against its padded one."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from models.bert import BertEncoder, attend_varlen
from models.packing import Packed, pack
from models.padding import pad
from models.tracing import traced

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}
MODELS = {
    "bert": (BertConfig, BertModel),
    "roberta": (RobertaConfig, RobertaModel),
    "xlm-r": (XLMRobertaConfig, XLMRobertaModel),
}
BATCH = [[5, 9, 11, 7, 23, 40, 2], [5, 2], [5, 17, 17, 2], [5, 31, 8, 44, 50, 51, 52, 53, 54, 2]]


def random_model(name: str, **changes: object) -> nn.Module:
    torch.manual_seed(3)
    config, model = MODELS[name]
    made: nn.Module = model(config(**(SIZES | changes))).eval()
    # Positions and types start near 0, so that a mistake with them would hardly show.
    for table in (made.embeddings.position_embeddings, made.embeddings.token_type_embeddings):
        nn.init.normal_(table.weight)
    return made


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return random_model(request.param)


def padded(batch: list[list[int]], pad_id: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = pad(batch, pad_id)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def pad_id_of(model: nn.Module) -> int:
    return int(model.config.pad_token_id or 0)


def end_to_end(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[mask.bool()]


def test_padded_hidden_states_equal_those_of_the_library(model: nn.Module) -> None:
    ids, mask = padded(BATCH, pad_id_of(model))
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    hidden = BertEncoder(model)(ids, mask)
    torch.testing.assert_close(end_to_end(hidden, mask), end_to_end(expected, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
def test_the_activation_is_the_one_of_the_configuration(activation: str) -> None:
    model = random_model("bert", hidden_act=activation, initializer_range=0.5)
    ids, mask = padded(BATCH)
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    hidden = BertEncoder(model)(ids, mask)
    torch.testing.assert_close(end_to_end(hidden, mask), end_to_end(expected, mask), atol=1e-5, rtol=1e-5)


def test_token_types_are_those_of_the_library_padded_and_packed() -> None:
    model = random_model("bert")
    types = [[int(place > 2) for place in range(len(row))] for row in BATCH]
    ids, mask = padded(BATCH)
    kinds, _ = padded(types)
    expected = model(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
    encoder = BertEncoder(model)
    torch.testing.assert_close(encoder(ids, mask, kinds)[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)
    packed = encoder.packed(pack(BATCH, "cpu", types))
    torch.testing.assert_close(packed, expected[mask.bool()], atol=1e-5, rtol=1e-5)


def test_packed_hidden_states_equal_the_padded_ones(model: nn.Module) -> None:
    ids, mask = padded(BATCH, pad_id_of(model))
    encoder = BertEncoder(model)
    torch.testing.assert_close(
        encoder.packed(pack(BATCH, "cpu")), end_to_end(encoder(ids, mask), mask), atol=1e-5, rtol=1e-5
    )


def test_the_padding_token_within_a_text_counts_as_the_library_counts_it(model: nn.Module) -> None:
    pad_id = pad_id_of(model)
    batch = [[5, 9, pad_id, 11, 2], [5, pad_id, 7, 8, 9, 10, 2]]
    ids, mask = padded(batch, pad_id)
    expected = end_to_end(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
    encoder = BertEncoder(model)
    torch.testing.assert_close(end_to_end(encoder(ids, mask), mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.packed(pack(batch, "cpu")), expected, atol=1e-5, rtol=1e-5)


def test_the_trace_is_exact_for_shapes_it_was_not_made_on(model: nn.Module) -> None:
    encoder = BertEncoder(model).eval()
    forward = traced(encoder, padded([[5, 6, 7, 8], [5, 2]], pad_id_of(model)))
    print("seed 8")  # noqa: T201
    random = np.random.default_rng(8)
    for rows, longest in [(1, 1), (1, 13), (5, 3), (7, 38)]:
        batch = [random.integers(2, 60, random.integers(1, longest + 1)).tolist() for _ in range(rows)]
        inputs = padded(batch, pad_id_of(model))
        torch.testing.assert_close(forward(*inputs), encoder(*inputs), atol=1e-5, rtol=1e-5)


def test_what_is_not_implemented_is_refused() -> None:
    assert all(BertEncoder.supports(random_model(name)) for name in MODELS)
    assert not BertEncoder.supports(random_model("bert", is_decoder=True))
    assert not BertEncoder.supports(random_model("bert", is_decoder=True, add_cross_attention=True))
    assert not BertEncoder.supports(random_model("bert", hidden_act="silu"))
    assert not BertEncoder.supports(random_model("bert", position_embedding_type="relative_key"))
    assert not BertEncoder.supports(DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_layers=1, n_heads=4)))
    assert not BertEncoder.supports(nn.Linear(2, 2))


# The forward of a GPU, without one


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_on_a_gpu_shapes_and_precisions_are_those_of_the_input(
    model: nn.Module, dtype: torch.dtype, pretend_on_gpu: Callable[[nn.Module, torch.dtype], None]
) -> None:
    encoder = BertEncoder(model)
    with FakeTensorMode():
        pretend_on_gpu(encoder, dtype)
        ids, mask = (torch.ones(3, 16, dtype=torch.int64, device="cuda") for _ in range(2))
        hidden = encoder(ids, mask)
        assert (tuple(hidden.shape), hidden.dtype, hidden.device.type) == ((3, 16, 32), dtype, "cuda")
        bounds, tokens = (torch.zeros(count, dtype=torch.int32, device="cuda") for count in (4, 10))
        hidden = encoder.packed(Packed((5, 2, 3), bounds, tokens))
        assert (tuple(hidden.shape), hidden.dtype, hidden.device.type) == ((10, 32), dtype, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_packed_kernel_equals_attention_row_by_row(model: nn.Module, dtype: torch.dtype) -> None:
    model.to("cuda", dtype)
    packed = pack(BATCH, "cuda")
    expected = BertEncoder(model).packed(packed).float()
    hidden = BertEncoder(model, attend_varlen).packed(packed).float()
    assert torch.cosine_similarity(hidden, expected, dim=-1).min() >= 0.999
