"""CrossEncoderReranker: any one-label cross-encoder folder, from a query and documents to scores."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch

from models.activation import activation_of
from models.base import Finished, Launched, RerankerInfo, TokenPair, Vectors
from models.checkpoint import load_cross_encoder
from models.device import available_cores, choose_device, guarded, use_one_core
from models.folder_faults import typed_faults
from models.launching import Launcher, PaddedLauncher
from models.loading import find_cross_encoder, fingerprint
from models.memory import begin_measuring, lift_cap, peak_bytes
from models.padding import largest_shapes
from models.pair_manifest import PairManifest
from models.pair_precision import PairServing, choose_for_pairs
from models.precision import DtypeChoice
from models.sharding import sharded
from models.timing import forward_cost
from models.tokenizing import ThreadLocalTokenizer


class CrossEncoderReranker:
    """A ``Reranker`` over a one-label cross-encoder folder; construct it with ``load``."""

    def __init__(
        self, info: RerankerInfo, tokenizer: ThreadLocalTokenizer, launcher: Launcher[TokenPair], prompt: str = ""
    ) -> None:
        self.info = info
        self._tokenizer = tokenizer
        self._launcher = launcher
        self._prompt = prompt

    @classmethod
    def load(cls, name: str, *, device: str = "auto", dtype: DtypeChoice = "auto", threads: int | None = None) -> Self:
        """Load, choose the precision, check it against float32.

        Args:
            name: folder or hub name; the served name is its last path component.
            device: ``auto`` takes the first GPU if there is one, else the CPU.
            dtype: ``auto`` measures a half precision against float32 on this machine and keeps the faster one.
            threads: cores to use, on a CPU; None takes those this process may run on.

        Raises:
            ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``models.base``.
            DeviceNotFoundError, DeviceMemoryError, DeviceLostError: of the device.
        """
        device = choose_device(device)
        folder = find_cross_encoder(name)
        activation = activation_of(folder)
        lift_cap(device)
        use_one_core(device)
        load = partial(load_cross_encoder, folder, device)
        reference = load(torch.float32)
        with typed_faults(folder, device):
            manifest = PairManifest.of(reference, folder)
            serving = PairServing(device, manifest.rectangle, activation, manifest.probes())
            chosen = choose_for_pairs(load, reference, serving, dtype)
            launcher = _launcher(chosen.launcher, serving, threads or available_cores())
        info = RerankerInfo(
            name=Path(name).name,
            fingerprint=fingerprint(folder),
            max_tokens=manifest.max_tokens,
            device=device,
            dtype=chosen.dtype,
            dtype_reason=chosen.reason,
            weights_bytes=launcher.weights_bytes,
        )
        return cls(info, manifest.tokenizer, launcher, manifest.prompt)

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        """The query with each document, at most ``info.max_tokens`` together."""
        return self._tokenizer.encode_pairs(self._prompt + query, documents)

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        """``launch`` and its result."""
        return self.launch(batch).result()

    def launch(self, batch: Sequence[TokenPair]) -> Launched:
        """Start the forwards of ``batch``; see ``Launched``.

        Scores are probabilities or logits, as the folder's activation says.

        Raises:
            DeviceMemoryError, DeviceLostError: of the device; nothing of the batch is held any longer.
        """
        if not batch:
            return Finished(0, np.empty((0, 1), dtype=np.float32))
        return guarded(self.info.device, partial(self._launcher.launch, batch))

    def warm_up(self, tokens: int) -> int:
        """Run the largest shapes of ``tokens`` tokens once.

        Returns:
            The most memory that PyTorch held on the device, in bytes; 0 on the CPU.

        Raises:
            DeviceMemoryError: a batch of so many tokens does not fit.
        """
        begin_measuring(self.info.device)
        for rows, length in largest_shapes(tokens, self.info.max_tokens):
            self.score([TokenPair([0] * length, [0] * length)] * rows)
        return peak_bytes(self.info.device)


def _launcher(padded: PaddedLauncher[TokenPair], serving: PairServing, threads: int) -> Launcher[TokenPair]:
    """``padded`` with its groups fitted to this machine, over its cores where that is a CPU."""
    launcher = padded.costing(forward_cost(padded, serving.probes))
    return sharded(launcher, threads, min(serving.probes, key=len)) if serving.device == "cpu" else launcher
