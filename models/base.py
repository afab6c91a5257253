"""The contract every embedding model fulfils, and the errors of this room.

    ModelError
    ├── ModelNotFoundError   no folder, bundled model or cached hub snapshot of that name
    ├── UnsafeModelError     weights that are not safetensors
    └── UnsupportedModelError  a folder that is not a model this program can run

Conventions: vectors are ``(n, dimension)`` float32 with unit norm; row ``i`` belongs to text ``i``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
TokenIds = list[int]


class ModelError(Exception):
    """A model could not be found, trusted or run."""


class ModelNotFoundError(ModelError):
    """No model of the given name is present on this machine."""


class UnsafeModelError(ModelError):
    """The folder offers only weights whose format can run code when it is read."""


class UnsupportedModelError(ModelError):
    """The folder is readable but is not a model this program can run."""


class TextKind(StrEnum):
    """What a text is for: some models put a different prompt before each kind."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """What callers and operators may know of a loaded model.

    Attributes:
        name: the served name.
        fingerprint: SHA-256 over configuration, tokenizer and weights; two models with equal fingerprints
            give interchangeable vectors.
        dimension: length of one vector.
        max_tokens: longest input in tokens, special tokens counted; longer input is truncated.
        device: ``cpu``, ``cuda:0`` ...
        dtype: precision of the transformer's weights.
        dtype_reason: why this precision was chosen.
        prompts: text put before a text of each kind; empty for most models.
    """

    name: str
    fingerprint: str
    dimension: int
    max_tokens: int
    device: str
    dtype: str
    dtype_reason: str
    prompts: Mapping[TextKind, str]


class Embedder(Protocol):
    """Turns text into vectors in two steps, so that tokens can be counted before device time is spent."""

    @property
    def info(self) -> EmbedderInfo:
        """Name, dimension, limits and precision."""

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        """Token ids of each text, prompt and special tokens included, truncated to ``max_tokens``. Thread-safe."""

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` without special tokens, prompt or truncation. Thread-safe."""

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        """``(len(batch), dimension)`` unit vectors, in order. Called from one thread only."""
