"""CrossEncoderReranker: any one-label cross-encoder folder, run as one GIL-releasing call per forward."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from sentence_transformers import CrossEncoder
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from models.base import DeviceMemoryError, Finished, RerankerInfo, TokenPair, UnsupportedModelError, Vectors
from models.loading import find_cross_encoder, fingerprint, read_config
from models.padding import length_groups
from models.precision import DtypeChoice
from models.tokenizing import ThreadLocalTokenizer

# Most that the probability of any probe may move from float32 in a reduced precision. A hundredth is 0.04 of a logit
# where the sigmoid is steepest: documents change places only where they practically tie, and no threshold is that fine.
PARITY = 0.01
# The same for a traced float32 forward, which differs from the eager one in the order of its sums only.
_TRACE_PARITY = 1e-4
_ACTIVATIONS = {"Sigmoid": torch.nn.Sigmoid, "Identity": torch.nn.Identity}
_PROBES = (
    ("How do I rotate the keys?", "Keys are rotated with one command; the old ones stay valid for a day."),
    ("How do I rotate the keys?", "Bread and butter."),
    (
        "what marks a deleted row",
        " ".join(["A tombstone marks a row as deleted until the segment that holds it is rebuilt."] * 6),
    ),
)

# Ids, attention mask and type ids, each (n, length) int64.
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class _PairForward(torch.nn.Module):
    """``Inputs`` in, ``(n, 1)`` float32 scores out.

    Only the encoder runs in the reduced precision. The head is float32: bfloat16 tells logits between 4 and 8 apart
    in steps of 0.03 only, and documents that tie lose their order.
    """

    def __init__(self, model: CrossEncoder, activation: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = model[0]
        self.activation = activation
        self.typed = "token_type_ids" in model.tokenizer.model_input_names
        network = _network(model)
        for name, head in network.named_children():
            if name != network.base_model_prefix:
                head.float().register_forward_pre_hook(_to_float)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.typed:
            features["token_type_ids"] = token_type_ids
        scores: torch.Tensor = self.activation(self.transformer(features)["scores"].float())
        return scores


class CrossEncoderReranker:
    """A ``Reranker`` over a one-label cross-encoder folder; construct it with ``load``."""

    def __init__(
        self, info: RerankerInfo, tokenizer: ThreadLocalTokenizer, forward: torch.nn.Module, pad: int, prompt: str = ""
    ) -> None:
        self.info = info
        self._tokenizer = tokenizer
        self._forward = forward
        self._pad = pad
        self._prompt = prompt

    @classmethod
    def load(cls, name: str, *, device: str = "auto", dtype: DtypeChoice = "auto") -> Self:
        """Load, choose the precision, check it against float32.

        Args:
            name: folder or hub name; the served name is its last path component.
            device: ``auto`` takes the first GPU if there is one, else the CPU.
            dtype: ``auto`` measures bfloat16 against float32 on this machine and keeps the faster one.

        Raises:
            ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``models.base``.
        """
        folder = find_cross_encoder(name)
        activation = _activation(folder)
        if device == "auto":
            device = "cuda:0" if torch.cuda.is_available() else "cpu"
        reference = _load_model(folder, device, torch.float32)
        _check_head_weights(reference, folder)
        tokenizer = _tokenizer_of(reference, folder)
        pad = int(reference.tokenizer.pad_token_id or 0)
        try:
            probes = _probes(tokenizer, pad)
            forward, chosen, reason = _choose_precision(folder, _PairForward(reference, activation), probes, dtype)
        except (RuntimeError, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise UnsupportedModelError(f"{folder} cannot be run: {type(error).__name__}: {error}") from error
        info = RerankerInfo(Path(name).name, fingerprint(folder), _max_tokens(reference), device, chosen, reason)
        return cls(info, tokenizer, forward, pad, reference.prompts.get(reference.default_prompt_name or "") or "")

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        """The query with each document, at most ``info.max_tokens`` together."""
        return self._tokenizer.encode_pairs(self._prompt + query, documents)

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        """``launch`` and its result."""
        return self.launch(batch).result()

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        """``(len(batch), 1)`` float32 scores, one forward per group of similar lengths.

        Scores are probabilities or logits, as the folder's activation says.
        """
        try:
            return self._run(batch)
        except torch.OutOfMemoryError as error:
            message = str(error)
        # Raised out here because the error above holds the frames, and they the tensors, of the failed forward.
        raise DeviceMemoryError(f"{len(batch)} pairs did not fit: {message}")

    def warm_up(self, tokens: int) -> int:
        """Run the largest shapes of a batch of ``tokens`` tokens once."""
        length = min(tokens, self.info.max_tokens)
        self.score([TokenPair([self._pad] * length, [0] * length)] * (tokens // length))
        return 0

    def _run(self, batch: Sequence[TokenPair]) -> Finished:
        computed = 0
        scores = np.empty((len(batch), 1), dtype=np.float32)
        with torch.inference_mode():
            for rows in length_groups([len(pair) for pair in batch], 32.0):
                inputs = _padded([batch[row] for row in rows], self._pad)
                scores[rows] = self._forward(*_on(self.info.device, inputs)).cpu().numpy()
                computed += inputs[0].numel()
        return Finished(computed, scores)


def _to_float(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(argument.float() for argument in arguments)


def _padded(batch: Sequence[TokenPair], pad: int) -> Inputs:
    shape = (len(batch), max(map(len, batch)))
    ids, mask, types = np.full(shape, pad), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, pair in enumerate(batch):
        ids[row, : len(pair)], mask[row, : len(pair)], types[row, : len(pair)] = pair.ids, 1, pair.type_ids
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types)


def _on(device: str, inputs: Inputs) -> Inputs:
    ids, mask, types = inputs
    return ids.to(device), mask.to(device), types.to(device)


def _load_model(folder: Path, device: str, dtype: torch.dtype) -> CrossEncoder:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        model: CrossEncoder = CrossEncoder(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            activation_fn=torch.nn.Identity(),  # the folder's is applied by _PairForward
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        ).eval()
        labels = model.num_labels
    except (
        OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        raise UnsupportedModelError(f"{folder} cannot be loaded: {error}") from error
    if labels != 1:
        raise UnsupportedModelError(f"{folder} has {labels} labels; a reranker has one")
    if len(model) != 1 or getattr(model[0], "transformer_task", None) != "sequence-classification":
        raise UnsupportedModelError(f"{folder} has modules other than one sequence-classification transformer")
    return model


def _network(model: CrossEncoder) -> PreTrainedModel:
    return cast(PreTrainedModel, model.model)


def _activation(folder: Path) -> torch.nn.Module:
    """What the folder puts on its logits, looked up where CrossEncoder does; a sigmoid where it names nothing.

    CrossEncoder would call whatever name below ``torch.`` the folder gives; here it is only compared.
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


def _check_head_weights(model: CrossEncoder, folder: Path) -> None:
    """Transformers fills weights that the file lacks at random; for a head that means random scores."""
    network = _network(model)
    stored: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            stored.update(file.keys())
    head = {name for name, _ in network.named_parameters() if not name.startswith(f"{network.base_model_prefix}.")}
    if missing := sorted(head - stored):
        raise UnsupportedModelError(f"{folder} holds no weights for {', '.join(missing)}")


def _tokenizer_of(model: CrossEncoder, folder: Path) -> ThreadLocalTokenizer:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedModelError(f"{folder} has no fast tokenizer (tokenizer.json)")
    return ThreadLocalTokenizer(backend.to_str(), _max_tokens(model))


def _max_tokens(model: CrossEncoder) -> int:
    """The folder's limit, or the number of positions where that is lower: RoBERTa keeps the first ones for padding."""
    limit = int(model.max_seq_length or model.tokenizer.model_max_length)
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding):
            reserved = 0 if table.padding_idx is None else table.padding_idx + 1
            limit = min(limit, table.num_embeddings - reserved)
    return limit


def _probes(tokenizer: ThreadLocalTokenizer, pad: int) -> list[Inputs]:
    """Pairs alone, then all together: the last one carries padding, so a trace of it keeps the branch for the mask."""
    pairs = [tokenizer.encode_pairs(query, [document])[0] for query, document in _PROBES]
    return [*(_padded([pair], pad) for pair in pairs), _padded(pairs, pad)]


def _choose_precision(
    folder: Path, exact: _PairForward, probes: Sequence[Inputs], choice: DtypeChoice
) -> tuple[torch.nn.Module, str, str]:
    """The forward to serve with, its precision, and why."""
    exact.eval()
    device = str(next(exact.parameters()).device)
    expected = _scores(exact, probes, device)
    full = _traced(exact, probes, device)
    if _difference(_scores(full, probes, device), expected, exact.activation) > _TRACE_PARITY:
        full = exact
    if choice == "float32":
        return full, "float32", "asked for"
    wanted = "bfloat16" if choice == "auto" else choice
    model = _load_model(folder, device, getattr(torch, wanted))
    reduced = _traced(_PairForward(model, exact.activation).eval(), probes, device)
    difference = _difference(_scores(reduced, probes, device), expected, exact.activation)
    if not difference <= PARITY:  # a NaN is no parity either
        return full, "float32", f"{wanted} moves a probability by {difference:.4f} from float32, more than {PARITY}"
    if choice != "auto":
        return reduced, wanted, f"asked for; probabilities within {difference:.4f} of float32"
    speedup = _seconds(full, probes, device) / _seconds(reduced, probes, device)
    if speedup < 1:
        return full, "float32", f"{wanted} runs at {speedup:.2f}x the speed of float32 here"
    return reduced, wanted, f"{speedup:.1f}x the speed of float32 here; probabilities within {difference:.4f} of it"


def _traced(forward: _PairForward, probes: Sequence[Inputs], device: str) -> torch.nn.Module:
    """On the CPU one frozen TorchScript call, which holds no GIL. Elsewhere the module as it is."""
    if device != "cpu":
        return forward
    with torch.inference_mode(), warnings.catch_warnings():
        # Python branches on shapes are warned of; the parity check over other shapes is what guards them.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(forward, probes[-1], check_trace=False)  # type: ignore[no-untyped-call]
        frozen: torch.nn.Module = torch.jit.freeze(traced)
    return frozen


def _scores(forward: torch.nn.Module, probes: Sequence[Inputs], device: str) -> Vectors:
    with torch.inference_mode():
        outputs = [forward(*_on(device, inputs)).cpu().numpy() for inputs in probes]
    return np.concatenate(outputs)


def _difference(scores: Vectors, expected: Vectors, activation: torch.nn.Module) -> float:
    """Largest difference as probabilities, so that one PARITY fits folders that ask for logits as well."""
    if isinstance(activation, torch.nn.Identity):
        scores, expected = (torch.from_numpy(logits).sigmoid().numpy() for logits in (scores, expected))
    return float(np.max(np.abs(scores - expected)))


def _seconds(forward: torch.nn.Module, probes: Sequence[Inputs], device: str, rounds: int = 5) -> float:
    """Best of ``rounds`` passes over the probes: the least disturbed one says most about the machine."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        _scores(forward, probes, device)
        best = min(best, time.perf_counter() - start)
    return best
