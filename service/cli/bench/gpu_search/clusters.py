"""Made-up vectors in clusters, made on the device they are searched on, with their exact neighbours. Brings torch."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from indexes.base import Positions
from indexes.card_vectors import CardVectors, Tensor
from indexes.rows import Rows

TOP_K = 10
_SEED = 5
# As in the benchmark of collections: one cluster for so many rows, spread in a space of this rank, and noise.
_ROWS_PER_CLUSTER, _RANK, _SPREAD, _NOISE = 50, 40, 0.45, 0.35
_BLOCK_ROWS = 65_536
_COPIES = 10


@dataclass(frozen=True, slots=True)
class Clusters:
    """Rows on the host and on the device, and questions with their answers.

    Attributes:
        rows: single precision, on the host.
        vectors: the same in half precision, on the device.
        queries: ``(queries, dimension)`` float32 on the device.
        truth: ``(queries, 10)``: the exact neighbours, by single precision.
    """

    rows: Rows
    vectors: CardVectors
    queries: Tensor
    truth: Positions


def made_up(count: int, dimension: int, queries: int, device: str) -> Clusters:
    """``count`` unit vectors; easier or harder to index than those of text, and no stand-in for them."""
    random = torch.Generator(device).manual_seed(_SEED)
    centres = torch.randn((max(1, count // _ROWS_PER_CLUSTER), dimension), generator=random, device=device)
    basis = torch.randn((min(_RANK, dimension), dimension), generator=random, device=device)

    def some(size: int) -> Tensor:
        cluster = torch.randint(len(centres), (size,), generator=random, device=device)
        spread = torch.randn((size, len(basis)), generator=random, device=device) @ basis
        noise = torch.randn((size, dimension), generator=random, device=device)
        return torch.nn.functional.normalize(centres[cluster] + _SPREAD * spread + _NOISE * noise)

    rows, vectors = Rows(dimension, "cosine", count), CardVectors(count, dimension, "cosine", device, "float16")
    asked = some(queries)
    scores, found = asked.new_empty((queries, 0)), torch.empty((queries, 0), dtype=torch.int64, device=device)
    for start in range(0, count, _BLOCK_ROWS):
        part = some(min(_BLOCK_ROWS, count - start))
        vectors.extend(part)
        ids = np.arange(start + 1, start + 1 + len(part))
        rows.append(ids, np.zeros(len(part), dtype=np.int64), part.cpu().numpy(), 1)
        best, at = (asked @ part.T).topk(min(TOP_K, len(part)), dim=1)
        scores, found = torch.cat((scores, best), dim=1), torch.cat((found, at + start), dim=1)
        scores, order = scores.topk(min(TOP_K, scores.shape[1]), dim=1)
        found = found.gather(1, order)
    return Clusters(rows, vectors, asked, found.cpu().numpy())


def card_name(device: str) -> str | None:
    """What the driver calls it; None for a CPU."""
    return None if device == "cpu" else torch.cuda.get_device_name(device)


def bytes_per_s(device: str) -> float:
    """Rate at which the device copies its own memory, reads and writes counted."""
    source = torch.zeros((8 << 20) if device == "cpu" else (1 << 29), dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    finish(device)
    start = time.perf_counter()
    for _ in range(_COPIES):
        target.copy_(source)
    finish(device)
    return 2 * _COPIES * source.nbytes / (time.perf_counter() - start)


def finish(device: str) -> None:
    """Wait for what is queued on the device."""
    if device != "cpu":
        torch.cuda.synchronize(device)
