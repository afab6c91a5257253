"""A batch over several threads against the same batch on one."""

import os
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from models.base import DeviceMemoryError, Finished, TokenIds
from models.hashing import HashingEmbedder
from models.sharding import ShardedLauncher, equal_shards, sharded


class Noting:
    """Hashes rows, and notes which threads it was called from and with what; fails on a row it is told to."""

    def __init__(self, poison: TokenIds | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.niceness: set[int] = set()
        self._poison = poison

    def launch(self, batch: Sequence[TokenIds]) -> Finished:
        self.calls.append((threading.current_thread().name.rpartition("_")[0], len(batch)))
        self.niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        if self._poison in batch:
            raise DeviceMemoryError("no room")
        return HashingEmbedder().launch(batch)


BATCH = [[7 * row + i for i in range(row % 9 + 1)] for row in range(50)]


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_rows_come_back_in_order_whoever_computed_them(threads: int) -> None:
    inner = Noting()
    launched = ShardedLauncher(inner, threads, spreads=False).launch(BATCH)
    np.testing.assert_array_equal(launched.result(), HashingEmbedder().embed(BATCH))
    assert launched.computed_tokens == sum(map(len, BATCH))
    assert len(inner.calls) == threads
    assert {name for name, _ in inner.calls} == {"quarry-forward"}


def test_a_single_row_stays_on_the_thread_that_launches_it() -> None:
    inner = Noting()
    ShardedLauncher(inner, 4, spreads=False).launch(BATCH[:1])
    assert inner.calls == [(threading.current_thread().name.rpartition("_")[0], 1)]


def test_the_threads_of_a_batch_give_way_and_the_launching_one_does_not() -> None:
    inner, own = Noting(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    launcher = ShardedLauncher(inner, 2, spreads=False)
    launcher.launch(BATCH).result()
    assert min(inner.niceness) > own
    inner.niceness.clear()
    launcher.launch(BATCH[:1])
    assert inner.niceness == {own}


def test_a_small_batch_is_left_whole_where_rows_are_spread_over_the_cores() -> None:
    inner = Noting()
    launcher = ShardedLauncher(inner, 4, spreads=True)
    launcher.launch(BATCH[:3]).result()
    assert [size for _, size in inner.calls] == [3]
    launcher.launch(BATCH[:4]).result()
    assert len(inner.calls) > 2


def test_a_single_long_row_leaves_the_launching_thread_free() -> None:
    started, let_go = threading.Event(), threading.Event()

    class Waiting(Noting):
        def launch(self, batch: Sequence[TokenIds]) -> Finished:
            started.set()
            assert let_go.wait(20)
            return super().launch(batch)

    launched = ShardedLauncher(Waiting(), 2, spreads=False).launch([list(range(200))])
    assert started.wait(20)
    assert not launched.is_done
    told = threading.Event()
    assert launched.tell(told.set)
    let_go.set()
    assert told.wait(20)
    assert launched.result().shape == (1, 64)


def test_a_shard_that_fails_fails_the_batch_and_the_next_one_works() -> None:
    launcher = ShardedLauncher(Noting(poison=BATCH[8]), 2, spreads=False)
    with pytest.raises(DeviceMemoryError, match="no room"):
        launcher.launch(BATCH).result()
    assert len(launcher.launch(BATCH[:8]).result()) == 8


@pytest.mark.parametrize("seed", range(20))
def test_shards_hold_every_row_once_and_about_the_same_tokens(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 100, size=int(rng.integers(2, 60))).tolist()
    count = int(rng.integers(2, 9))
    shards = equal_shards(lengths, count)
    assert sorted(np.concatenate(shards).tolist()) == list(range(len(lengths)))
    assert len(shards) <= count
    share = sum(lengths) / count
    for rows in shards:
        assert sum(lengths[row] for row in rows) <= share + max(lengths)


def test_equal_rows_are_shared_out_evenly() -> None:
    assert [len(rows) for rows in equal_shards([12] * 32, 2)] == [16, 16]


def test_nothing_is_sharded_on_one_core() -> None:
    inner = Noting()
    assert sharded(inner, 1, [1, 2]) is inner
    assert torch.get_num_threads() == 1


def test_two_models_on_one_thread_keep_their_number_of_cores() -> None:
    seen: list[int] = []

    class Asking(Noting):
        def launch(self, batch: Sequence[TokenIds]) -> Finished:
            seen.append(torch.get_num_threads())
            return super().launch(batch)

    spreading, alone = (ShardedLauncher(Asking(), 2, spreads=spreads) for spreads in (True, False))
    for launcher in (spreading, alone, spreading):
        launcher.launch(BATCH[:1])
    assert seen == [2, 1, 2]
