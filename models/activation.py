"""What a cross-encoder's folder puts on its logits."""

from pathlib import Path

from torch import nn

from models.base import UnsupportedModelError
from models.loading import read_config

_ACTIVATIONS: dict[str, type[nn.Module]] = {"Sigmoid": nn.Sigmoid, "Identity": nn.Identity}


def activation_of(folder: Path) -> nn.Module:
    """Looked up where CrossEncoder does; a sigmoid where the folder names nothing.

    CrossEncoder would call whatever name below ``torch.`` the folder gives; here it is only compared.

    Raises:
        UnsupportedModelError: it names another, or a configuration that may name one cannot be read.
    """
    config = read_config(folder / "config.json")
    newest = folder / "config_sentence_transformers.json"
    named = (
        read_config(newest).get("activation_fn") if newest.is_file() else None,
        nested.get("activation_fn") if isinstance(nested := config.get("sentence_transformers"), dict) else None,
        config.get("sbert_ce_default_activation_function"),
    )
    path = str(next((name for name in named if name), "torch.nn.Sigmoid"))
    activation = _ACTIVATIONS.get(path.rpartition(".")[2])
    if activation is None or not path.startswith("torch."):
        raise UnsupportedModelError(f"{folder} asks for the activation {path}; known are {', '.join(_ACTIVATIONS)}")
    return activation()
