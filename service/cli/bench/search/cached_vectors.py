"""Vectors of texts by the bundled model, kept on disk block by block, so that an interrupted run goes on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes.base import Vectors
from models.base import Embedder, TextKind

_BLOCK_ROWS = 5000
_BATCH = 64


@dataclass(frozen=True, slots=True)
class CachedVectors:
    """Blocks of vectors in one folder, of texts that stay the same.

    Args:
        folder: of one model, one precision and one list of texts; created when absent.
        kind: what the texts are for.
        prefix: of the files' names.
    """

    folder: Path
    kind: TextKind
    prefix: str

    def read(self, count: int) -> Vectors | None:
        """``(count, dimension)``, or None where a block is missing."""
        paths = [self._path(first) for first in range(0, count, _BLOCK_ROWS)]
        if not all(path.exists() for path in paths):
            return None
        blocks = [np.load(path, mmap_mode="r") for path in paths]
        if sum(map(len, blocks)) < count:
            return None
        return np.concatenate(blocks)[:count]

    def complete(self, texts: Sequence[str], embedder: Embedder, say: Callable[[str], None]) -> Vectors:
        """Compute the blocks that are missing; a last block that is too short is computed again.

        Returns:
            ``(len(texts), dimension)`` float32 unit vectors.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for first in range(0, len(texts), _BLOCK_ROWS):
            block, path = texts[first : first + _BLOCK_ROWS], self._path(first)
            if path.exists() and len(np.load(path, mmap_mode="r")) >= len(block):
                continue
            say(f"embedding {self.prefix} {first:,} to {first + len(block):,} of {len(texts):,}")
            _write(path, _embedded(block, embedder, self.kind))
        done = self.read(len(texts))
        assert done is not None  # noqa: S101  every block was just written
        return done

    def _path(self, first: int) -> Path:
        return self.folder / f"{self.prefix}-{first:07d}.npy"


def _embedded(texts: Sequence[str], embedder: Embedder, kind: TextKind) -> Vectors:
    """Sorted by length, so that little is padding."""
    ids = embedder.tokenize(texts, kind)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]), reverse=True)
    vectors = np.empty((len(ids), embedder.info.dimension), dtype=np.float32)
    for first in range(0, len(order), _BATCH):
        rows = order[first : first + _BATCH]
        vectors[rows] = embedder.embed([ids[row] for row in rows])
    return vectors


def _write(path: Path, vectors: Vectors) -> None:
    """Under another name first: a file of this name is whole."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, vectors)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
