"""Models as a process loads them."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.base import Finished, ModelNotFoundError, RerankerInfo, TextKind, TokenIds, TokenPair
from models.cross_encoder import CrossEncoderReranker
from models.hashing import HashingEmbedder
from models.transformer import TransformerEmbedder
from service.embedding_settings import EmbeddingSettings
from service.loaded_models import LoadedModels
from service.rerank_settings import RerankSettings


class Noting(HashingEmbedder):
    """Remembers the sizes and threads of its forwards."""

    def __init__(self, name: str = "hashing", device: str = "cpu") -> None:
        super().__init__()
        self.info = replace(self.info, name=name, device=device)
        self.warmed: list[int] = []
        self.largest = 0
        self.threads: set[str] = set()

    def launch(self, batch: Sequence[TokenIds]) -> Finished:
        self.largest = max(self.largest, sum(map(len, batch)))
        self.threads.add(threading.current_thread().name)
        return super().launch(batch)

    def warm_up(self, tokens: int) -> int:
        self.warmed.append(tokens)
        return 123


class Pairs:
    """A reranker without weights."""

    def __init__(self) -> None:
        self.info = RerankerInfo("pairs", "pairs-1", 256, "cpu", "float32", "the only one")

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        ids = [HashingEmbedder().tokenize([f"{query} {document}"], TextKind.QUERY)[0] for document in documents]
        return [TokenPair(each, [0] * len(each)) for each in ids]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        return Finished(sum(map(len, batch)), np.zeros((len(batch), 1), np.float32))

    def warm_up(self, tokens: int) -> int:
        return tokens


def test_a_measured_budget() -> None:
    model = Noting()
    (loaded,) = LoadedModels.load(EmbeddingSettings(bulk_batch_ms=1e6), RerankSettings(), model).embedders
    served = loaded.served
    assert loaded.model is served.forward is model
    assert served.width == model.info.dimension
    assert served.knee_tokens is not None
    assert served.knee_tokens <= 2048
    assert served.capacity.tokens == max(256, served.knee_tokens)
    assert model.warmed == [served.capacity.tokens]
    assert model.largest <= 2048
    assert served.describe()["memory_bytes"] == 123
    assert model.threads == {threading.current_thread().name}


@pytest.mark.parametrize("budget", [1, 100, 5000])
def test_a_budget_that_an_operator_sets(budget: int) -> None:
    model = Noting()
    (loaded,) = LoadedModels.load(EmbeddingSettings(max_batch_tokens=budget), RerankSettings(), model).embedders
    assert loaded.served.capacity.tokens == budget
    assert model.warmed == [budget]
    assert model.largest <= max(16, budget)


def test_bulk_batches_are_smaller_where_they_would_take_long() -> None:
    settings = EmbeddingSettings(max_batch_tokens=1000, bulk_batch_ms=1e-6)
    (loaded,) = LoadedModels.load(settings, RerankSettings(), Noting()).embedders
    assert loaded.served.capacity.bulk_tokens < loaded.served.capacity.tokens == 1000


def test_all_of_them_are_served_by_name_with_the_settings_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> Noting:  # noqa: ANN401
        asked.append((name, options))
        return Noting(name)

    def load_pairs(name: str, **options: Any) -> Pairs:  # noqa: ANN401
        asked.append((name, options))
        return Pairs()

    monkeypatch.setattr(TransformerEmbedder, "load", load)
    monkeypatch.setattr(CrossEncoderReranker, "load", load_pairs)
    settings = EmbeddingSettings(model="one", also=("two", "three"), device="cpu", dtype="float32")
    models = LoadedModels.load(settings, RerankSettings(model="pairs"))
    options = {"device": "cpu", "dtype": "float32", "threads": None}
    assert asked == [(name, options) for name in ("one", "two", "three", "pairs")]
    assert list(models.served()) == [info.name for info in models.infos()] == ["one", "two", "three", "pairs"]
    assert models.reranker is not None
    assert models.served()["pairs"].width == 1
    assert models.served()["pairs"].memory_bytes == models.served()["pairs"].capacity.tokens


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelNotFoundError, match="/nowhere"):
        LoadedModels.load(EmbeddingSettings(also=("/nowhere",)), RerankSettings(), Noting())
    with pytest.raises(ModelNotFoundError, match="/nowhere"):
        LoadedModels.load(EmbeddingSettings(), RerankSettings(model="/nowhere"), Noting())
