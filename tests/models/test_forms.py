"""Which forms are tried where, and that the packed one gives what the padded one gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.base import TextKind
from models.bert import BertEncoder
from models.forms import Serving, _candidates
from models.launching import PackedLauncher, PaddedLauncher, Rectangle
from models.sentence import BertForward, PackedForward, transformer_of
from models.timing import forward_cost
from models.transformer import TransformerEmbedder

PROBES = [[2, 5, 3], [2, 6, 7, 8, 3], [2, 9, 3]]


def model_in(folder: Path, dtype: torch.dtype) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": dtype}).eval()


@pytest.mark.parametrize(
    ("device", "dtype", "names"),
    [
        ("cpu", torch.bfloat16, ["traced bert, weights prepacked", "traced bert", "traced generic", "generic eager"]),
        ("cuda:0", torch.bfloat16, ["varlen bert", "padded bert", "generic eager"]),
        ("cuda:0", torch.float16, ["varlen bert", "padded bert", "generic eager"]),
        ("cuda:0", torch.float32, ["padded bert", "generic eager"]),
    ],
)
def test_the_fastest_form_of_a_device_and_precision_is_tried_first(
    tiny_model: Path, device: str, dtype: torch.dtype, names: list[str]
) -> None:
    serving = Serving(device, 32, Rectangle(0), PROBES)
    assert [candidate.name for candidate in _candidates(model_in(tiny_model, dtype), serving)] == names


def test_packed_launches_equal_padded_ones_on_real_lengths(tiny_model: Path) -> None:
    model = model_in(tiny_model, torch.float32)
    encoder, later = BertEncoder(transformer_of(model)), list(model)[1:]
    print("seed 6")  # noqa: T201
    random = np.random.default_rng(6)
    batch = [random.integers(0, 56, random.integers(1, 33)).tolist() for _ in range(70)]
    packed = PackedLauncher(PackedForward(encoder, later, 32), "cpu").launch(batch)
    padded = PaddedLauncher(BertForward(encoder, later, 32), Rectangle(0).arrays, "cpu", 30).launch(batch)
    np.testing.assert_allclose(packed.result(), padded.result(), atol=1e-5)
    assert packed.computed_tokens == sum(map(len, batch)) <= padded.computed_tokens


def test_the_measured_cost_of_a_forward_is_within_its_bounds(embedder: TransformerEmbedder) -> None:
    probes = embedder.tokenize(["key", "segment " * 90], TextKind.DOCUMENT)
    cost = forward_cost(embedder._launcher, probes)
    print(f"a forward costs {cost:.0f} tokens beside its own")  # noqa: T201
    assert 4 <= cost <= 512
