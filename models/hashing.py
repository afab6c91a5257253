"""A tiny deterministic embedder: no weights, no torch, vectors that agree where texts share words."""

import re
import zlib
from collections.abc import Sequence

import numpy as np

from models.base import EmbedderInfo, Finished, TextKind, TokenIds, Vectors

_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Feature hashing of words (Weinberger et al., 2009): one signed bucket a word, then unit norm.

    Tests and torch-free harnesses use it where the quality of the vectors does not matter.
    """

    def __init__(self, dimension: int = 64, max_tokens: int = 256) -> None:
        self.info = EmbedderInfo(
            name="hashing",
            fingerprint=f"hashing-{dimension}-{max_tokens}",
            dimension=dimension,
            max_tokens=max_tokens,
            device="cpu",
            dtype="float32",
            dtype_reason="the only precision of this embedder",
            prompts={kind: "" for kind in TextKind},
        )

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        """One id a word; ``kind`` makes no difference here."""
        return [self._ids(text)[: self.info.max_tokens] for text in texts]

    def count_tokens(self, text: str) -> int:
        """Words in ``text``."""
        return len(self._ids(text))

    def launch(self, batch: Sequence[TokenIds]) -> Finished:
        """Done at once."""
        return Finished(sum(map(len, batch)), self.embed(batch))

    def warm_up(self, tokens: int) -> int:
        """Nothing to warm."""
        return 0

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        """``(len(batch), dimension)`` unit vectors; a text without words gets the first axis."""
        vectors = np.zeros((len(batch), self.info.dimension), dtype=np.float32)
        for row, ids in enumerate(batch):
            hashes = np.asarray(ids, dtype=np.uint32)
            signs = np.where(hashes & 1, 1.0, -1.0).astype(np.float32)
            np.add.at(vectors[row], (hashes >> 1) % self.info.dimension, signs)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0, 0] = 1.0
        return np.divide(vectors, np.where(norms == 0, 1.0, norms), dtype=np.float32)

    @staticmethod
    def _ids(text: str) -> TokenIds:
        return [zlib.crc32(word.lower().encode()) for word in _WORD.findall(text)]
