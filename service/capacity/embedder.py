"""Embedder: what an embedding model or a reranker takes of a card, from its config.json."""

from dataclasses import dataclass
from pathlib import Path

from models.base import ModelError
from models.loading import find_cross_encoder, find_model
from service.capacity.amount import Amount
from service.capacity.architecture import Architecture
from service.capacity.checkpoint import Checkpoint
from service.capacity.errors import ModelConfigError, UnknownArchitectureError
from service.capacity.family import FAMILIES
from service.capacity.model_config import FILE_NAME, ModelConfig

# Calibration goes no further on a GPU (service/loaded_models.py), and a forward has no more tokens than it found good.
MOST_TOKENS = 131_072
# A GPU computes in half precision.
_WIDTH = 2
# The process is held to the peak that was measured and an eighth more (models/memory.py).
_MARGIN = 8
_BERT_FAMILY = ("bert", "roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, slots=True)
class Embedder:
    """One model.

    Attributes:
        parameters: numbers in it.
        dimension: of its vectors, before any layer that its folder puts behind the transformer.
        token_bytes: that live at once for each token of a forward.
    """

    name: str
    parameters: int
    dimension: int
    token_bytes: int

    @classmethod
    def read(cls, name: str, is_reranker: bool = False) -> "Embedder":
        """Of a config.json, a folder, the bundled model, or a hub name in the local cache.

        Raises:
            ModelConfigError: it cannot be found or read.
            UnknownArchitectureError: neither a formula nor files say what it takes.
        """
        path = Path(name)
        if not (path.is_file() or (path / FILE_NAME).is_file()):
            path = _found(name, is_reranker)
        config = ModelConfig.read(path)
        hidden, inner = config.count("hidden_size"), config.count("intermediate_size", 4 * config.count("hidden_size"))
        # A token and its projections for attention, or the inner layer before and after its activation.
        live = max(5 * hidden, 2 * hidden + 2 * inner)
        return cls(Path(name).name, _parameters(config, path), hidden, live * _WIDTH)


def embedder_weights(embedders: tuple[Embedder, ...]) -> Amount:
    """Of all of them."""
    said = ", ".join(f"{each.name} {each.parameters:,} parameters" for each in embedders)
    return Amount(sum(each.parameters for each in embedders) * _WIDTH, True, f"{said}, {_WIDTH} bytes each")


def embedder_peak(embedders: tuple[Embedder, ...], tokens: int | None) -> Amount:
    """Beyond the weights: the largest forward of any of them, and the margin the process is allowed.

    Args:
        tokens: of one forward; None is the most that calibration tries.
    """
    taken = (tokens or MOST_TOKENS) * max(each.token_bytes for each in embedders)
    margin = (embedder_weights(embedders).bytes + taken) // _MARGIN
    said = f"{tokens or MOST_TOKENS} tokens a forward by the widths of a layer, and an eighth of all as a margin"
    return Amount(taken + margin, False, said)


def _found(name: str, is_reranker: bool) -> Path:
    try:
        return find_cross_encoder(name) if is_reranker else find_model(name)
    except ModelError as error:
        raise ModelConfigError(str(error)) from error


def _parameters(config: ModelConfig, path: Path) -> int:
    kind = config.text("model_type")
    if kind in _BERT_FAMILY:
        return _bert_parameters(config)
    if kind in FAMILIES:
        return sum(weight.parameters for weight in Architecture.of(config).weights if weight.kind != "head")
    checkpoint = Checkpoint.of(path, tied=False) if path.is_dir() else None
    if checkpoint is None:
        raise UnknownArchitectureError(
            f"{config.source}: model_type is {kind!r}, and weights are counted for "
            f"{', '.join(sorted({*_BERT_FAMILY, *FAMILIES}))}. Give the folder with its safetensors"
        )
    return checkpoint.floats


def _bert_parameters(config: ModelConfig) -> int:
    """Embeddings, layers and pooler of the BERT family; matrices with what they add, norms with scale and shift."""
    hidden, inner = config.count("hidden_size"), config.count("intermediate_size")
    rows = config.count("vocab_size") + config.count("max_position_embeddings") + config.count("type_vocab_size", 2)
    norm, square = 2 * hidden, hidden * hidden + hidden
    layer = 4 * square + (hidden * inner + inner) + (inner * hidden + hidden) + 2 * norm
    return rows * hidden + norm + config.count("num_hidden_layers") * layer + square
