"""A sentence model's folder as the library that defines the format reads it: any shape, for seconds of imports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from models.base import TextKind, TokenIds, UnsupportedModelError
from models.checkpoint import load_sentence_transformer
from models.folder_faults import typed_faults
from models.launching import Rectangle
from models.manifest import Manifest
from models.parity import PROBES
from models.sentence import transformer_of
from models.tokenizing import ThreadLocalTokenizer

# A model that names no limit is held to this many tokens.
_LONGEST = 32_768
_TOKENIZER_PROBES = (*PROBES, "", "  Blanks  around\n", "CASE, Ünïcode and 世界 \N{ROCKET}")


class LibraryFolder:
    """A ``SentenceSource`` of any SentenceTransformer folder; see ``load_sentence_transformer`` for what it raises."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._device = device
        self.reference = load_sentence_transformer(folder, device, torch.float32)
        with typed_faults(folder, device):
            self.manifest = manifest_of(self.reference, folder)

    def load(self, dtype: torch.dtype) -> SentenceTransformer:
        """The model in another precision."""
        return load_sentence_transformer(self._folder, self._device, dtype)


def manifest_of(model: SentenceTransformer, folder: Path) -> Manifest:
    """What the loaded model declares, and a check that token ids and a mask are all that it takes.

    Raises:
        UnsupportedModelError: it takes other inputs, or excludes prompts from pooling.
    """
    transformer = model[0]
    if not isinstance(transformer, Transformer) or "text" not in transformer.modality_config:
        raise UnsupportedModelError(f"{folder} begins with {type(transformer).__name__}: not a text transformer")
    max_tokens = token_limit(model)
    # The library cuts where the tokenizer says, even behind the last position; ``_verify`` compares with it.
    model.max_seq_length = max_tokens
    dimension = model.get_embedding_dimension()
    if not dimension:
        raise UnsupportedModelError(f"{folder} does not tell the length of its vectors")
    manifest = Manifest(
        tokenizer=checked_tokenizer(model.tokenizer, transformer_of(model), max_tokens, folder),
        max_tokens=max_tokens,
        prompts={kind: model.prompts.get(kind.value) or "" for kind in TextKind},
        dimension=dimension,
        matryoshka=_matryoshka(transformer.model.config, dimension, folder),
        rectangle=Rectangle(int(model.tokenizer.pad_token_id or 0), model.tokenizer.padding_side),
    )
    _verify(manifest, model, folder)
    return manifest


def _verify(manifest: Manifest, model: SentenceTransformer, folder: Path) -> None:
    """A row is ids alone: it cannot say which of them are a prompt, nor that they are of another type."""
    excluded = any(not module.include_prompt for module in model if isinstance(module, Pooling))
    if excluded and any(manifest.prompts.values()):
        raise UnsupportedModelError(f"{folder} leaves the prompt out of the pooling (include_prompt), which is refused")
    texts = [*_TOKENIZER_PROBES, "limit " * (manifest.max_tokens + 1)]
    for kind, prompt in manifest.prompts.items():
        features = model.preprocess(texts, prompt=prompt or None, task=kind.value)
        if _rows(features) != manifest.tokenizer.encode(texts, prompt):
            raise UnsupportedModelError(f"{folder} makes more of a {kind.value} than its text's token ids")


def checked_tokenizer(
    tokenizer: Any,  # noqa: ANN401  any model's own class
    network: Any,  # noqa: ANN401  its class too
    max_tokens: int,
    folder: Path,
) -> ThreadLocalTokenizer:
    """``tokenizer`` for any thread, cutting at ``max_tokens``.

    Raises:
        UnsupportedModelError: it is slow, or has ids for which ``network`` has no embedding.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedModelError(f"{folder} has no fast tokenizer (tokenizer.json)")
    table: Any = network.get_input_embeddings()
    rows, known = int(table.weight.shape[0]), int(backend.get_vocab_size())
    if known > rows:
        raise UnsupportedModelError(f"{folder} has embeddings for {rows} tokens and a tokenizer of {known}")
    return ThreadLocalTokenizer(backend.to_str(), max_tokens)


def token_limit(model: SentenceTransformer | CrossEncoder) -> int:
    """The tokenizer's limit, within the table of positions: a GPU is lost to an index outside of it."""
    limits = [int(model.max_seq_length or _LONGEST), _LONGEST]
    for module in model.modules():
        table: Any = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding):
            padding = getattr(module, "padding_idx", None)
            # RoBERTa and its kin begin to count behind the id of the padding.
            limits.append(table.num_embeddings - (padding + 1 if isinstance(padding, int) else 0))
    return min(limits)


def _matryoshka(config: Any, dimension: int, folder: Path) -> tuple[int, ...]:  # noqa: ANN401  any model's own class
    """``matryoshka_dimensions`` of config.json, the key that vLLM reads too."""
    declared = getattr(config, "matryoshka_dimensions", None) or []
    if not isinstance(declared, list) or not all(isinstance(length, int) and length > 0 for length in declared):
        raise UnsupportedModelError(
            f"{folder}/config.json: matryoshka_dimensions is {declared!r}, not a list of lengths"
        )
    return tuple(sorted(length for length in set(declared) if length < dimension))


def _rows(features: Mapping[str, Any]) -> list[TokenIds]:
    if not {"input_ids", "attention_mask"} <= features.keys() or features["input_ids"].ndim != 2:  # noqa: PLR2004
        return []
    mask = features["attention_mask"].bool()
    if "token_type_ids" in features and bool(features["token_type_ids"][mask].any()):
        return []
    return [ids[kept].tolist() for ids, kept in zip(features["input_ids"], mask, strict=True)]
