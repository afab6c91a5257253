"""A batch on several cores: each computes some of its rows by itself.

The other way, every operator of one forward spread over the cores, has the cores wait for each other some seventy times
in a forward of MiniLM. Where anything else wants one of them, each of these waits costs a time slice; and texts of a
hundred tokens are too little work to be worth it even where nothing does.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic

import numpy as np
import torch
from numpy.typing import NDArray

from models.base import Launched, Vectors
from models.device import guarded
from models.launching import Launcher, Row
from models.timing import best_seconds

# A single row is spread over the cores where that is faster by this much: for MiniLM on two cores it is not.
_WORTH_SPREADING = 1.5
# A single row of no more tokens is computed by the thread that launches it, which for so long can launch nothing else.
_INLINE_TOKENS = 64
# Of nice(2). There are as many forwards as cores, and each keeps its core for milliseconds; a thread that wakes up to
# say a word to a client must not wait for that, as it does among equals.
_NICENESS = 10


class Shards:
    """A ``Launched`` over several threads.

    Args:
        rows: the batch's row numbers of each shard.
        futures: what computes them.
    """

    def __init__(self, rows: Sequence[NDArray[np.int64]], futures: Sequence[Future[Launched]]) -> None:
        self._rows = rows
        self._futures = futures

    @property
    def computed_tokens(self) -> int:
        """Of all shards, once they are done."""
        return sum(future.result().computed_tokens for future in self._futures)

    @property
    def is_done(self) -> bool:
        """Whether all shards are."""
        return all(future.done() for future in self._futures)

    def tell(self, call: Callable[[], None]) -> bool:
        """Have ``call`` made after each shard."""
        for future in self._futures:
            future.add_done_callback(lambda _: call())
        return True

    def result(self) -> Vectors:
        """Rows in the order of the batch."""
        wait(self._futures)  # a shard that fails must not leave another one running
        results = guarded("cpu", lambda: np.concatenate([future.result().result() for future in self._futures]))
        rows = np.empty_like(results)
        rows[np.concatenate(self._rows)] = results
        return rows


class ShardedLauncher(Generic[Row]):
    """Launches over shards of a batch, on the CPU.

    Args:
        inner: runs one shard; called from several threads at a time.
        threads: cores to use.
        spreads: a batch of fewer rows than cores is left whole, and its forward spread over them.
    """

    def __init__(self, inner: Launcher[Row], threads: int, *, spreads: bool) -> None:
        self.inner = inner
        self._threads = threads
        self._spreads = spreads
        # A batch may be launched while another one runs, and should not have to wait for its shards.
        self._pool = ThreadPoolExecutor(2 * threads, thread_name_prefix="quarry-forward", initializer=_give_way)

    @property
    def weights_bytes(self) -> int:
        """Those of ``inner``, which all threads share."""
        return self.inner.weights_bytes

    def launch(self, batch: Sequence[Row]) -> Launched:
        """Start the shards; a single short row is done when this returns."""
        lengths = [len(row) for row in batch]
        whole = self._threads if self._spreads else 1
        if len(batch) == 1 and lengths[0] <= _INLINE_TOKENS:
            return self._on(whole, batch)
        if len(batch) == 1 or (self._spreads and len(batch) < self._threads):
            return Shards([np.arange(len(batch))], [self._pool.submit(self._on, whole, batch)])
        shards = equal_shards(lengths, self._threads)
        futures = [self._pool.submit(self._on, 1, [batch[row] for row in rows]) for rows in shards]
        return Shards(shards, futures)

    def _on(self, cores: int, batch: Sequence[Row]) -> Launched:
        """Run a part on the calling thread, which may have used another number of cores for the last one."""
        if torch.get_num_threads() != cores:
            torch.set_num_threads(cores)
        return self.inner.launch(batch)


def sharded(launcher: Launcher[Row], threads: int, probe: Row) -> Launcher[Row]:
    """``launcher`` over ``threads`` cores, for the calling thread to launch.

    Args:
        probe: a typical short row, to measure whether a single one gains enough by being spread over the cores.
    """
    if threads == 1:
        torch.set_num_threads(1)
        return launcher
    spread_s = _single(launcher, threads, probe)
    alone_s = _single(launcher, 1, probe)
    return ShardedLauncher(launcher, threads, spreads=alone_s >= _WORTH_SPREADING * spread_s)


def equal_shards(lengths: Sequence[int], count: int) -> list[NDArray[np.int64]]:
    """Row numbers of at most ``count`` shards with about as many tokens each; rows of like length stay together."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    ends = np.cumsum(np.asarray(lengths)[order])
    # A row belongs to the shard that its middle falls into.
    middles = ends - np.asarray(lengths)[order] / 2
    shard = np.minimum((middles * count / ends[-1]).astype(np.int64), count - 1)
    return [order[shard == i] for i in range(count) if (shard == i).any()]


def _give_way() -> None:
    """Let threads that have little to do go before the calling one, which has much."""
    with suppress(OSError, AttributeError):  # a limit, or not Linux: then it competes as everybody does
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _single(launcher: Launcher[Row], threads: int, probe: Row) -> float:
    torch.set_num_threads(threads)
    return best_seconds(lambda: launcher.launch([probe]).result())
