"""The packed forward against the padded one, and both against the library's own modules."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from models.bert import BertEncoder
from models.packing import Packed, pack
from models.padding import pad
from models.sentence import BertForward, LibraryForward, PackedForward, mean_of_rows, transformer_of

BATCH = [[2, 11, 44, 9, 3], [2, 3], [2, 20, 20, 3], [2, 31, 8, 44, 50, 51, 9, 10, 12, 3]]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True).eval()


def dense() -> Dense:
    torch.manual_seed(1)
    return Dense(32, 24)


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("dimension", [24, 7])
def test_packed_padded_and_library_give_the_same_vectors(model: SentenceTransformer, mode: str, dimension: int) -> None:
    later = [Pooling(32, pooling_mode=mode), dense(), Normalize()]
    ids, mask = (torch.from_numpy(array) for array in pad(BATCH, 0))
    expected = LibraryForward(SentenceTransformer(modules=[model[0], *later], device="cpu").eval(), dimension)(
        ids, mask
    )
    encoder = BertEncoder(transformer_of(model))
    assert PackedForward.supports(later)
    packed = PackedForward(encoder, later, dimension)(pack(BATCH, "cpu"))
    torch.testing.assert_close(BertForward(encoder, later, dimension)(ids, mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=1e-5)
    assert packed.shape == (len(BATCH), dimension)
    torch.testing.assert_close(packed.norm(dim=1), torch.ones(len(BATCH)))


def test_a_pooling_that_is_not_ours_is_left_to_the_library() -> None:
    assert not PackedForward.supports([Pooling(32, pooling_mode="lasttoken")])
    assert not PackedForward.supports([Pooling(32, pooling_mode=("mean", "cls"))])
    assert not PackedForward.supports([Pooling(32, pooling_mode="mean"), nn.Identity()])
    assert not PackedForward.supports([Normalize()])
    assert not PackedForward.supports([])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_on_a_gpu_the_vectors_are_float32_in_every_precision(
    tiny_model: Path, dtype: torch.dtype, pretend_on_gpu: Callable[[nn.Module, torch.dtype], None]
) -> None:
    model = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True).eval()
    encoder, later = BertEncoder(transformer_of(model)), [Pooling(32, pooling_mode="mean"), Normalize()]
    with FakeTensorMode():
        pretend_on_gpu(encoder, dtype)
        ids, mask = (torch.ones(3, 16, dtype=torch.int64, device="cuda") for _ in range(2))
        bounds, tokens = (torch.zeros(count, dtype=torch.int32, device="cuda") for count in (4, 10))
        packed_forward = PackedForward(encoder, later, 20)
        pooled: list[torch.dtype] = []

        def pool(hidden: torch.Tensor, packed: Packed) -> torch.Tensor:
            pooled.append(hidden.dtype)
            return mean_of_rows(hidden, packed)

        packed_forward.pool = pool
        for vectors in (BertForward(encoder, later, 20)(ids, mask), packed_forward(Packed((5, 2, 3), bounds, tokens))):
            assert (tuple(vectors.shape), vectors.dtype, vectors.device.type) == ((3, 20), torch.float32, "cuda")
    assert pooled == [torch.float32]
