"""TransformerEmbedder: any SentenceTransformer folder, from text to unit vectors."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from models.base import EmbedderInfo, Finished, Launched, TextKind, TokenIds, Vectors
from models.cuda_graphs import GraphCounts, GraphLauncher
from models.device import available_cores, choose_device, guarded, use_one_core
from models.folder_faults import typed_faults
from models.forms import Form, Serving
from models.launching import Launcher, PaddedLauncher
from models.loading import find_model, fingerprint
from models.memory import begin_measuring, lift_cap, peak_bytes
from models.padding import largest_shapes
from models.parity import PARITY, lowest_cosine
from models.precision import DtypeChoice, choose
from models.sentence import BertForward
from models.sharding import sharded
from models.source import open_source
from models.timing import forward_cost
from models.tokenizing import ThreadLocalTokenizer


class TransformerEmbedder:
    """An ``Embedder`` over a SentenceTransformer folder; construct it with ``load``."""

    def __init__(self, info: EmbedderInfo, tokenizer: ThreadLocalTokenizer, launcher: Launcher[TokenIds]) -> None:
        self.info = info
        self._tokenizer = tokenizer
        self._launcher = launcher

    @classmethod
    def load(cls, name: str, *, device: str = "auto", dtype: DtypeChoice = "auto", threads: int | None = None) -> Self:
        """Load, choose precision and form, check both against the modules as they are, in float32.

        Args:
            name: folder, ``all-MiniLM-L6-v2`` or hub name; the served name is its last path component.
            device: ``auto`` takes the first GPU if there is one, else the CPU.
            dtype: ``auto`` takes the fastest precision of this machine that keeps the vectors; see ``precision``.
            threads: cores to use, on a CPU; None takes those this process may run on.

        Raises:
            ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``models.base``.
            DeviceNotFoundError, DeviceMemoryError, DeviceLostError: of the device.
        """
        device = choose_device(device)
        folder = find_model(name)
        lift_cap(device)
        use_one_core(device)
        identity = fingerprint(folder)
        source = open_source(folder, identity, device)
        manifest = source.manifest
        with typed_faults(folder, device):
            serving = Serving(device, manifest.dimension, manifest.rectangle, manifest.probes())
            chosen = choose(source.load, source.reference, serving, dtype)
            launcher = _launcher(chosen.form, serving, threads or available_cores())
        info = EmbedderInfo(
            name=Path(name).name,
            fingerprint=identity,
            dimension=manifest.dimension,
            max_tokens=manifest.max_tokens,
            device=device,
            dtype=chosen.dtype,
            dtype_reason=chosen.reason,
            prompts=manifest.prompts,
            matryoshka=manifest.matryoshka,
            forward=chosen.form.name,
            forward_reason=chosen.form.reason,
            weights_bytes=launcher.weights_bytes,
        )
        return cls(info, manifest.tokenizer, launcher)

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        """Token ids of each text with the prompt of its kind, truncated to ``info.max_tokens``."""
        return self._tokenizer.encode(texts, self.info.prompts[kind])

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` without special tokens or truncation."""
        return self._tokenizer.count(text)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        """``launch`` and its result."""
        return self.launch(batch).result()

    def launch(self, batch: Sequence[TokenIds]) -> Launched:
        """Start the forwards of ``batch``; see ``Launched``.

        Raises:
            DeviceMemoryError, DeviceLostError: of the device; nothing of the batch is held any longer.
        """
        if not batch:
            return Finished(0, np.empty((0, self.info.dimension), dtype=np.float32))
        return guarded(self.info.device, partial(self._launcher.launch, batch))

    @property
    def graph_counts(self) -> GraphCounts | None:
        """Launches by CUDA graph and outside of one; None where this model runs without graphs."""
        return self._launcher.counts if isinstance(self._launcher, GraphLauncher) else None

    def warm_up(self, tokens: int) -> int:
        """Capture the graphs, run the largest shapes of ``tokens`` tokens once.

        Returns:
            The most memory that PyTorch held on the device, in bytes; 0 on the CPU.

        Raises:
            DeviceMemoryError: a batch of so many tokens does not fit.
        """
        device = self.info.device
        begin_measuring(device)
        if isinstance(self._launcher, GraphLauncher):
            self._launcher.capture(self.info.max_tokens)
        for rows, length in largest_shapes(tokens, self.info.max_tokens):
            self.embed([[0] * length] * rows)
        return peak_bytes(device)


def _launcher(form: Form, serving: Serving, threads: int) -> Launcher[TokenIds]:
    """The launcher of ``form``, with its groups fitted to this machine, and before it graphs for short batches."""
    launcher = form.launcher
    if isinstance(launcher, PaddedLauncher):
        launcher = launcher.costing(forward_cost(launcher, serving.probes))
    if serving.device == "cpu":
        return sharded(launcher, threads, min(serving.probes, key=len))
    if form.bert is None or not _equals(form.bert, launcher, serving):
        return launcher
    return GraphLauncher(form.bert, serving.rectangle, serving.device, launcher)


def _equals(bert: BertForward, launcher: Launcher[TokenIds], serving: Serving) -> bool:
    """Whether the padded forward, which the graphs capture, gives the vectors of the form that was compared."""
    padded = PaddedLauncher(bert, serving.rectangle.arrays, serving.device)
    return lowest_cosine(serving.vectors(padded), serving.vectors(launcher)) >= PARITY
