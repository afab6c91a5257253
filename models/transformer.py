"""TransformerEmbedder: any SentenceTransformer folder, run as one GIL-releasing call per forward.

An eager forward gives the GIL back at every operator, so a busy Python thread stretches it many times over. On the
CPU the model is therefore traced and frozen into one TorchScript call, which runs without the GIL from end to end.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from models.base import EmbedderInfo, Finished, TextKind, TokenIds, UnsupportedModelError, Vectors
from models.loading import find_model, fingerprint
from models.tokenizing import ThreadLocalTokenizer

DtypeChoice = Literal["auto", "float32", "bfloat16", "float16"]

# Lowest cosine to the float32 reference at which a faster form of the model is still the same model.
PARITY = 0.999
# Inputs of one forward are padded to the longest; texts this much shorter than it go into a forward of their own.
_LENGTH_RATIO = 0.75
_PROBES = (
    "How do I rotate the keys?",
    "A tombstone marks a row as deleted until the segment that holds it is rebuilt without it.",
    " ".join(["Latency budgets are checked under load, stage by stage, and a miss fails the release."] * 6),
)


class _Forward(torch.nn.Module):
    """``(n, length)`` ids and mask in, ``(n, dimension)`` float32 unit vectors out.

    Only the transformer runs in the reduced precision: pooling and normalising in bfloat16 costs up to 0.004 of
    cosine, in float32 less than 0.0001.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.transformer, *later = list(model)
        self.later = torch.nn.ModuleList(later)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self.transformer({"input_ids": input_ids, "attention_mask": attention_mask})
        features["token_embeddings"] = features["token_embeddings"].float()
        for module in self.later:
            features = module(features)
        return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)


class TransformerEmbedder:
    """An ``Embedder`` over a SentenceTransformer folder; construct it with ``load``."""

    def __init__(self, info: EmbedderInfo, tokenizer: ThreadLocalTokenizer, forward: torch.nn.Module, pad: int) -> None:
        self.info = info
        self._tokenizer = tokenizer
        self._forward = forward
        self._pad = pad

    @classmethod
    def load(cls, name: str, *, device: str = "auto", dtype: DtypeChoice = "auto") -> Self:
        """Load, choose the precision, check it against float32.

        Args:
            name: folder, ``all-MiniLM-L6-v2`` or hub name; the served name is its last path component.
            device: ``auto`` takes the first GPU if there is one, else the CPU.
            dtype: ``auto`` measures bfloat16 against float32 on this machine and keeps the faster one.

        Raises:
            ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``models.base``.
        """
        folder = find_model(name)
        if device == "auto":
            device = "cuda:0" if torch.cuda.is_available() else "cpu"
        reference = _load_model(folder, device, torch.float32)
        tokenizer = _tokenizer_of(reference, folder)
        inputs = [_pad(tokenizer.encode([probe]), _pad_id(reference)) for probe in _PROBES]
        inputs.append(_padded_example(inputs))
        try:
            forward, chosen, reason = _choose_precision(folder, reference, inputs, dtype)
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise UnsupportedModelError(f"{folder} cannot be run: {type(error).__name__}: {error}") from error
        info = EmbedderInfo(
            name=Path(name).name,
            fingerprint=fingerprint(folder),
            dimension=int(reference.get_embedding_dimension() or 0),
            max_tokens=_max_tokens(reference),
            device=device,
            dtype=chosen,
            dtype_reason=reason,
            prompts=_prompts(reference),
        )
        return cls(info, tokenizer, forward, _pad_id(reference))

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        """Token ids of each text with the prompt of its kind, truncated to ``info.max_tokens``."""
        return self._tokenizer.encode(texts, self.info.prompts[kind])

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` without special tokens or truncation."""
        return self._tokenizer.count(text)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        """``launch`` and its result."""
        return self.launch(batch).result()

    def warm_up(self, tokens: int) -> int:
        """Run the largest shapes of a batch of ``tokens`` tokens once."""
        length = min(tokens, self.info.max_tokens)
        self.embed([[self._pad] * length] * (tokens // length))
        return 0

    def launch(self, batch: Sequence[TokenIds]) -> Finished:
        """``(len(batch), dimension)`` float32 unit vectors, one forward per group of similar lengths."""
        computed = 0
        vectors = np.empty((len(batch), self.info.dimension), dtype=np.float32)
        with torch.inference_mode():
            for rows in _length_groups(batch):
                ids, mask = _pad([batch[row] for row in rows], self._pad)
                output = self._forward(ids.to(self.info.device), mask.to(self.info.device))
                vectors[rows] = output.cpu().numpy()
                computed += ids.numel()
        return Finished(computed, vectors)


def _length_groups(batch: Sequence[TokenIds]) -> Iterator[list[int]]:
    """Row numbers, longest first, cut wherever a text is shorter than ``_LENGTH_RATIO`` of its group's longest."""
    group: list[int] = []
    for row in sorted(range(len(batch)), key=lambda row: -len(batch[row])):
        if group and len(batch[row]) < _LENGTH_RATIO * len(batch[group[0]]):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _pad(batch: Sequence[TokenIds], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids in batch)
    ids = np.full((len(batch), length), pad, dtype=np.int64)
    mask = np.zeros((len(batch), length), dtype=np.int64)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _load_model(folder: Path, device: str, dtype: torch.dtype) -> SentenceTransformer:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        ).eval()
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise UnsupportedModelError(f"{folder} cannot be loaded: {error}") from error


def _tokenizer_of(model: SentenceTransformer, folder: Path) -> ThreadLocalTokenizer:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedModelError(f"{folder} has no fast tokenizer (tokenizer.json)")
    lowercase = bool(getattr(model[0], "do_lower_case", False))
    return ThreadLocalTokenizer(backend.to_str(), _max_tokens(model), lowercase=lowercase)


def _prompts(model: SentenceTransformer) -> dict[TextKind, str]:
    """The prompt of each kind; SentenceTransformer.encode_document knows three names for the document's."""
    document = next((name for name in ("document", "passage", "corpus") if model.prompts.get(name)), "document")
    names = {TextKind.QUERY: "query", TextKind.DOCUMENT: document}
    return {kind: model.prompts.get(name) or "" for kind, name in names.items()}


def _max_tokens(model: SentenceTransformer) -> int:
    return int(model.max_seq_length or model.tokenizer.model_max_length)


def _pad_id(model: SentenceTransformer) -> int:
    return int(model.tokenizer.pad_token_id or 0)


Inputs = Sequence[tuple[torch.Tensor, torch.Tensor]]


def _choose_precision(
    folder: Path, reference: SentenceTransformer, inputs: Inputs, choice: DtypeChoice
) -> tuple[torch.nn.Module, str, str]:
    """The forward to serve with, its precision, and why."""
    exact = _Forward(reference).eval()
    device = str(reference.device)
    expected = _run(exact, inputs, device)
    full = _compile(exact, inputs, device)
    if _parity(_run(full, inputs, device), expected) < PARITY:
        full = exact
    if choice == "float32":
        return full, "float32", "asked for"
    wanted = "bfloat16" if choice == "auto" else choice
    model = _load_model(folder, device, getattr(torch, wanted))
    reduced = _compile(_Forward(model).eval(), inputs, device)
    parity = _parity(_run(reduced, inputs, device), expected)
    if parity < PARITY:
        return full, "float32", f"{wanted} has cosine {parity:.5f} to float32, below {PARITY}"
    if choice != "auto":
        return reduced, wanted, f"asked for; cosine {parity:.5f} to float32"
    speedup = _seconds(full, inputs, device) / _seconds(reduced, inputs, device)
    if speedup < 1:
        return full, "float32", f"{wanted} runs at {speedup:.2f}x the speed of float32 here"
    return reduced, wanted, f"{speedup:.1f}x the speed of float32 here; cosine {parity:.5f} to it"


def _compile(forward: _Forward, inputs: Inputs, device: str) -> torch.nn.Module:
    """On the CPU a traced, frozen module: one call that holds no GIL. Elsewhere the module as it is."""
    if device != "cpu":
        return forward
    example = _padded_example(inputs)
    with torch.inference_mode(), warnings.catch_warnings():
        # Python branches on shapes are warned of; the parity check over other shapes is what guards them.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(forward, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: torch.nn.Module = torch.jit.freeze(traced)
    return frozen


def _padded_example(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Two rows of unequal length, so that the trace keeps the branch that applies the mask."""
    ids, mask = (tensor.expand(2, -1).clone() for tensor in inputs[1])
    mask[1, mask.shape[1] // 2 :] = 0
    return ids, mask


def _run(forward: torch.nn.Module, inputs: Inputs, device: str) -> Vectors:
    with torch.inference_mode():
        outputs = [forward(ids.to(device), mask.to(device)) for ids, mask in inputs]
    return np.concatenate([output.cpu().numpy() for output in outputs])


def _parity(vectors: Vectors, expected: Vectors) -> float:
    return float(np.min(np.sum(vectors * expected, axis=1)))


def _seconds(forward: torch.nn.Module, inputs: Inputs, device: str, rounds: int = 5) -> float:
    """Best of ``rounds`` passes over the probes: the least disturbed one says most about the machine."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        _run(forward, inputs, device)
        best = min(best, time.perf_counter() - start)
    return best
