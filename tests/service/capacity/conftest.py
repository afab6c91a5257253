"""Shapes of published models, and what tests of plans share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.capacity.architecture import Architecture
from service.capacity.embedder import Embedder
from service.capacity.language_model import LanguageModel
from service.capacity.model_config import ModelConfig
from service.capacity.model_server import ModelServer
from service.capacity.node import Node, Retrieval
from service.llm_settings import LlmSettings

FIXTURES = Path(__file__).parent / "fixtures"
MINILM = Embedder("minilm", 22_713_216, 384, 7680)
GIB = 1 << 30

Shape = Callable[..., dict[str, Any]]


@pytest.fixture
def shape() -> Shape:
    """The config.json of a published model, with changes; None removes a field."""

    def read(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        values = {**json.loads((FIXTURES / f"{name}.json").read_text()), **changes}
        return {key: value for key, value in values.items() if key not in changes or value is not None}

    return read


@pytest.fixture
def architecture(shape: Shape) -> Callable[..., Architecture]:
    """As the plan reads it."""

    def read(name: str, **changes: Any) -> Architecture:  # noqa: ANN401
        return Architecture.of(ModelConfig(name, shape(name, **changes)))

    return read


@pytest.fixture
def served() -> Callable[..., ModelServer]:
    """A server of a published model."""

    def make(name: str, context: int = 8192, sequences: int = 64, **fields: Any) -> ModelServer:  # noqa: ANN401
        model = LanguageModel.read(FIXTURES / f"{name}.json")
        managed = {"weights": str(model.path), "max_num_seqs": sequences}
        settings = LlmSettings.model_validate({"model": name, "context": context, "managed": managed})
        return ModelServer(model, settings, "unix:///run/x.sock", context, sequences, **fields)

    return make


@pytest.fixture
def node() -> Callable[..., Node]:
    """MiniLM, an index of ten million rows of 1024, and servers, on cards of so many GiB."""

    def make(gib: float, *servers: ModelServer, cards: int = 1, rows: int = 10_000_000, **fields: Any) -> Node:  # noqa: ANN401
        return Node(int(gib * GIB), cards, Retrieval((MINILM,), None, rows, 1024, **fields), servers)

    return make
