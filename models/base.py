"""The contracts that embedders and rerankers fulfil, and the errors of this room.

    ModelError
    ├── DeviceNotFoundError    no device of that name on this machine, or none that this program uses
    ├── ModelNotFoundError     no folder, bundled model or cached hub snapshot of that name
    ├── UnsafeModelError       weights that are not safetensors
    ├── UnsupportedModelError  a folder that is not a model this program can run
    ├── DeviceMemoryError      a forward ran out of the device's memory; a smaller one may fit
    └── DeviceLostError        the device no longer computes until the process is started again

Conventions: a forward takes rows of token ids and gives float32, row ``i`` for input ``i``: unit vectors
``(n, dimension)`` of an embedder, one column of scores ``(n, 1)`` of a reranker. Forwards of all models on one device
are launched from one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
TokenIds = list[int]


class ModelError(Exception):
    """A model could not be found, trusted or run."""


class DeviceNotFoundError(ModelError):
    """No device of the given name is present on this machine, or it is of a kind this program does not use."""


class ModelNotFoundError(ModelError):
    """No model of the given name is present on this machine."""


class UnsafeModelError(ModelError):
    """Reading the folder would run code: its weights are pickled, or it names modules or files that are not its own."""


class UnsupportedModelError(ModelError):
    """The folder is readable but is not a model this program can run."""


class DeviceMemoryError(ModelError):
    """A forward did not fit into the device's memory; nothing of it is held any longer, and a smaller one may fit."""


class DeviceLostError(ModelError):
    """The device refuses all further work of this process, as CUDA does after an illegal access."""


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
        matryoshka: shorter lengths to which vectors may be cut, ascending; empty where the model names none.
        forward: how the forward runs, such as ``traced bert``.
        forward_reason: why it runs in this form and not in a faster one.
        weights_bytes: memory of its weights in that form.
    """

    name: str
    fingerprint: str
    dimension: int
    max_tokens: int
    device: str
    dtype: str
    dtype_reason: str
    prompts: Mapping[TextKind, str]
    matryoshka: tuple[int, ...] = ()
    forward: str = "eager"
    forward_reason: str = "the only form of this embedder"
    weights_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RerankerInfo:
    """What callers and operators may know of a loaded reranker.

    Attributes:
        max_tokens: longest query and document together, special tokens counted; the document is truncated to fit.
        weights_bytes: memory of its weights.
    """

    name: str
    fingerprint: str
    max_tokens: int
    device: str
    dtype: str
    dtype_reason: str
    weights_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A query and a document as one input of a cross-encoder.

    Attributes:
        ids: both, with special tokens.
        type_ids: 0 for the query's part and 1 for the document's, as the tokenizer sets them.
    """

    ids: TokenIds
    type_ids: TokenIds

    def __len__(self) -> int:
        return len(self.ids)


class Launched(Protocol):
    """A forward that has been handed to the device."""

    @property
    def computed_tokens(self) -> int:
        """Tokens it computes, padding counted."""

    @property
    def is_done(self) -> bool:
        """Whether ``result`` would return at once."""

    def tell(self, call: Callable[[], None]) -> bool:
        """Have ``call`` made, from any thread and perhaps more than once, when it is done.

        Returns:
            False where only waiting for ``result`` can tell; then forwards are done in the order of their launch.
        """

    def result(self) -> Vectors:
        """Wait for it; ``(n, width)`` float32.

        Raises:
            DeviceMemoryError, DeviceLostError: also from the launch itself.
        """


@dataclass(frozen=True, slots=True)
class Finished:
    """A ``Launched`` that was over when the launch returned."""

    computed_tokens: int
    rows: Vectors
    is_done: bool = field(default=True, init=False)

    def tell(self, call: Callable[[], None]) -> bool:
        """At once."""
        call()
        return True

    def result(self) -> Vectors:
        """The rows."""
        return self.rows


class Embedder(Protocol):
    """Turns text into vectors in two steps, so that tokens can be counted before device time is spent."""

    @property
    def info(self) -> EmbedderInfo:
        """Name, dimension, limits and precision."""

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        """Token ids of each text, prompt and special tokens included, truncated to ``max_tokens``. Thread-safe."""

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` without special tokens, prompt or truncation. Thread-safe."""

    def launch(self, batch: Sequence[TokenIds]) -> Launched:
        """Start a forward; this may return before it is done."""

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        """``launch`` and its result: ``(len(batch), dimension)`` unit vectors."""

    def warm_up(self, tokens: int) -> int:
        """Run the largest shapes of a batch of ``tokens`` tokens once.

        Returns:
            The most device memory they took, in bytes; 0 on a CPU.
        """


class Reranker(Protocol):
    """Scores how well documents answer a query."""

    @property
    def info(self) -> RerankerInfo:
        """Name, limits and precision."""

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        """An input for each document, truncated to ``max_tokens``. Thread-safe."""

    def launch(self, batch: Sequence[TokenPair]) -> Launched:
        """Start a forward; its result is ``(n, 1)``, a higher score is better."""

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        """``launch`` and its result: ``(len(batch), 1)`` scores."""

    def warm_up(self, tokens: int) -> int:
        """As ``Embedder.warm_up``."""
