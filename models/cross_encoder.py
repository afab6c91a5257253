"""CrossEncoderReranker: any one-label cross-encoder folder, from a query and documents to scores."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch

from models.activation import activation_of
from models.base import Finished, Launched, RerankerInfo, TokenPair, Vectors
from models.checkpoint import load_cross_encoder, typed_faults
from models.device import choose_device, guarded
from models.launching import Launcher
from models.loading import find_cross_encoder, fingerprint
from models.memory import begin_measuring, cap_at_peak, lift_cap
from models.padding import largest_shapes
from models.pair_manifest import PairManifest
from models.pair_precision import PairServing, choose_for_pairs
from models.precision import DtypeChoice
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
    def load(cls, name: str, *, device: str = "auto", dtype: DtypeChoice = "auto") -> Self:
        """Load, choose the precision, check it against float32.

        Args:
            name: folder or hub name; the served name is its last path component.
            device: ``auto`` takes the first GPU if there is one, else the CPU.
            dtype: ``auto`` measures a half precision against float32 on this machine and keeps the faster one.

        Raises:
            ModelNotFoundError, UnsafeModelError, UnsupportedModelError: see ``models.base``.
            DeviceMemoryError, DeviceLostError: of the device.
        """
        folder = find_cross_encoder(name)
        activation = activation_of(folder)
        device = choose_device(device)
        lift_cap(device)
        load = partial(load_cross_encoder, folder, device)
        reference = load(torch.float32)
        with typed_faults(folder, device):
            manifest = PairManifest.of(reference, folder)
            serving = PairServing(device, manifest.rectangle, activation, manifest.probes())
            chosen = choose_for_pairs(load, reference, serving, dtype)
            launcher = chosen.launcher.costing(forward_cost(chosen.launcher, serving.probes))
        info = RerankerInfo(
            name=Path(name).name,
            fingerprint=fingerprint(folder),
            max_tokens=manifest.max_tokens,
            device=device,
            dtype=chosen.dtype,
            dtype_reason=chosen.reason,
        )
        return cls(info, manifest.tokenizer, launcher, manifest.prompt)

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        """The query with each document, at most ``info.max_tokens`` together."""
        return self._tokenizer.encode_pairs(self._prompt + query, documents)

    def score(self, batch: Sequence[TokenPair]) -> Vectors:
        """``launch`` and its result."""
        return self.launch(batch).result()

    def launch(self, batch: Sequence[TokenPair]) -> Launched:
        """Start the forwards of ``batch``; on the CPU they are over when this returns.

        Scores are probabilities or logits, as the folder's activation says.

        Raises:
            DeviceMemoryError, DeviceLostError: of the device; nothing of the batch is held any longer.
        """
        if not batch:
            return Finished(0, np.empty((0, 1), dtype=np.float32))
        return guarded(self.info.device, partial(self._launcher.launch, batch))

    def warm_up(self, tokens: int) -> int:
        """Run the largest shapes of ``tokens`` tokens once, hold the process to what they took.

        Returns:
            The most memory that PyTorch held on the device, in bytes; 0 on the CPU.

        Raises:
            DeviceMemoryError: a batch of so many tokens does not fit; the process is not held to anything.
        """
        begin_measuring(self.info.device)
        for rows, length in largest_shapes(tokens, self.info.max_tokens):
            self.score([TokenPair([0] * length, [0] * length)] * rows)
        return cap_at_peak(self.info.device)
