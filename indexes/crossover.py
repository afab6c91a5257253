"""From how many rows on a compressed index answers faster than an exact scan, on this device and thread."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from indexes.base import Vectors
from indexes.exact import ExactRows, range_top_k, scores_at
from indexes.ivf_pq import MIN_ROWS, IvfPqIndex, IvfPqParams
from indexes.ranking import best

FEWEST_ROWS = 8_192
MOST_ROWS = 1_000_000

_TOP_K = 10
# What the curves of real text ask for at 0.99, within a factor of two.
_NPROBE, _REFINE = 128, 10
_REPETITIONS = 15
# The larger exact scan is 32 MiB, beyond the caches of a core; the index is small, so that its training is short.
_SCANNED_FLOATS = 8_388_608
_TRAINED_FLOATS = 1_048_576


def crossover(exact_s: Mapping[int, float], compressed_s: Mapping[int, float]) -> int:
    """Rows from which an exact scan costs more.

    A scan takes ``a + b n``. A search of lists takes ``c sqrt(n)``: there are about ``4 sqrt(n)`` of them, and in each
    visited one about ``sqrt(n) / 4`` rows. The two meet where ``b s² - c s + a = 0``, with ``s = sqrt(n)``; beyond the
    larger solution the scan costs more. A scan that was not seen to grow was measured amid noise: its time is then
    taken to be in proportion to its rows.

    Args:
        exact_s: seconds of an exact scan by its number of rows, at least two numbers.
        compressed_s: seconds of a search of a compressed index, likewise, at least one.

    Returns:
        Between ``FEWEST_ROWS`` and ``MOST_ROWS``.
    """
    b, a = np.polyfit(list(exact_s), list(exact_s.values()), 1)
    if b <= 0:
        a, b = 0.0, exact_s[max(exact_s)] / max(exact_s)
    c = statistics.median(seconds / rows**0.5 for rows, seconds in compressed_s.items())
    discriminant = c * c - 4 * a * b
    if discriminant < 0:  # the scan costs more at any size
        return FEWEST_ROWS
    rows = ((c + discriminant**0.5) / (2 * b)) ** 2
    return int(min(MOST_ROWS, max(FEWEST_ROWS, rows)))


def measure_crossover(dimension: int) -> int:
    """``crossover`` from the median times of single queries over made-up rows. Takes a second or two."""
    rng = np.random.default_rng(0)
    scanned = max(4 * MIN_ROWS, _SCANNED_FLOATS // dimension)
    vectors = rng.standard_normal((min(scanned, FEWEST_ROWS * 4), dimension), dtype=np.float32)
    exact = {rows: _median_s(_scan(vectors[:rows])) for rows in (len(vectors) // 4, len(vectors))}
    trained = max(MIN_ROWS, min(FEWEST_ROWS, _TRAINED_FLOATS // dimension))
    return crossover(exact, {trained: _median_s(_search(vectors[:trained]))})


def _scan(vectors: Vectors) -> Callable[[], object]:
    rows, mask = ExactRows(vectors, "ip"), np.ones(len(vectors), dtype=bool)
    return lambda: range_top_k(rows, vectors[:1], 0, mask, _TOP_K)


def _search(vectors: Vectors) -> Callable[[], object]:
    rows, dimension = vectors.shape
    params = replace(IvfPqParams.for_rows(rows, dimension), nlist=int(4 * rows**0.5))
    index = IvfPqIndex.train(vectors, "ip", params)

    def search() -> object:
        _, found = index.candidates(vectors[:1], _TOP_K * _REFINE, _NPROBE)
        return best(scores_at(vectors, vectors[:1], found, "ip"), found, _TOP_K)

    return search


def _median_s(call: Callable[[], object]) -> float:
    call()  # the first fills caches
    times = []
    for _ in range(_REPETITIONS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
