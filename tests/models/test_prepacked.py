"""The prepacked encoder against the same encoder as it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.bert import BertEncoder
from models.prepacked import PrepackedLinear, prepack
from models.sentence import transformer_of
from models.transformer import TransformerEmbedder

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)


def test_hidden_states_are_those_of_the_plain_encoder(tiny_model: Path) -> None:
    torch.manual_seed(3)
    model = SentenceTransformer(str(tiny_model), device="cpu", model_kwargs={"dtype": torch.bfloat16}).eval()
    ids = torch.randint(0, 50, (3, 9))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7])
    with torch.inference_mode():
        plain = BertEncoder(transformer_of(model))(ids, mask)
        packed = prepack(BertEncoder(transformer_of(model)))(ids, mask)
    cosines = torch.nn.functional.cosine_similarity(plain.float(), packed.float(), dim=-1)
    assert cosines[mask.bool()].min() > 0.999


def test_the_model_it_was_made_from_keeps_its_own_layers(tiny_model: Path) -> None:
    model = SentenceTransformer(str(tiny_model), device="cpu", model_kwargs={"dtype": torch.bfloat16}).eval()
    encoder = prepack(BertEncoder(transformer_of(model)))
    assert any(isinstance(module, PrepackedLinear) for module in encoder.modules())
    assert not any(isinstance(module, PrepackedLinear) for module in model.modules())


def test_it_is_the_form_that_serves_in_bfloat16(tiny_model: Path) -> None:
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="bfloat16")
    assert embedder.info.forward == "traced bert, weights prepacked", embedder.info.forward_reason


def test_where_the_operator_is_missing_the_plain_form_serves(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: BertEncoder) -> BertEncoder:
        raise AttributeError("no such operator")

    monkeypatch.setattr("models.forms.prepack", missing)
    embedder = TransformerEmbedder.load(str(tiny_model), device="cpu", dtype="bfloat16")
    assert embedder.info.forward == "traced bert"
    assert "no such operator" in embedder.info.forward_reason
    assert np.isfinite(embedder.embed([[2, 5, 3]])).all()
