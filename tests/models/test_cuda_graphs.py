"""GraphLauncher with a capture that runs on the CPU, and, where there is one, on a GPU."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.base import DeviceMemoryError, TextKind
from models.cuda_graphs import BATCHES, LENGTHS, GraphLauncher, Replay
from models.launching import PackedLauncher, PaddedLauncher, Rectangle
from models.transformer import TransformerEmbedder

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
PAD = 9


class Sums(nn.Module):
    """The sum of the ids that the mask leaves, and how many those are: no id is read or left out unseen."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return torch.stack([(ids * mask).sum(1), mask.sum(1)], dim=1).float()


def recorded(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Does what a CUDA graph does: every replay writes over the same output."""
    output = step().clone()

    def replay() -> None:
        output.copy_(step())

    return replay, output


@pytest.fixture
def launcher() -> GraphLauncher:
    rectangle = Rectangle(PAD)
    launcher = GraphLauncher(Sums(), rectangle, "cpu", PaddedLauncher(Sums(), rectangle.arrays, "cpu"), recorded)
    launcher.capture(64)
    return launcher


def test_every_shape_is_captured_once(launcher: GraphLauncher) -> None:
    assert launcher.shapes == [(length, batch) for length in LENGTHS for batch in BATCHES]
    before = dict(launcher._graphs)
    launcher.capture(64)
    assert launcher._graphs == before


def test_no_shape_is_longer_than_what_the_model_reads() -> None:
    launcher = GraphLauncher(
        Sums(), Rectangle(PAD), "cpu", PaddedLauncher(Sums(), Rectangle(PAD).arrays, "cpu"), recorded
    )
    launcher.capture(40)
    assert {length for length, _ in launcher.shapes} == {16, 32}


def test_a_replay_equals_the_forward_whatever_was_replayed_before(launcher: GraphLauncher) -> None:
    print("seed 2")  # noqa: T201
    random = np.random.default_rng(2)
    for _ in range(60):
        batch = [random.integers(1, 99, random.integers(1, 65)).tolist() for _ in range(random.integers(1, 33))]
        expected = launcher.otherwise.launch(batch).result()
        np.testing.assert_array_equal(launcher.launch(batch).result(), expected)
    assert (launcher.counts.replays, launcher.counts.others) == (60, 0)


@pytest.mark.parametrize(
    ("rows", "length", "shape"),
    [(1, 1, (16, 1)), (1, 17, (32, 1)), (3, 16, (16, 4)), (32, 64, (64, 32)), (33, 4, None), (1, 65, None)],
)
def test_a_batch_goes_into_the_smallest_shape_it_fits(
    launcher: GraphLauncher, rows: int, length: int, shape: tuple[int, int] | None
) -> None:
    batch = [[5] * length] * rows
    assert launcher.fitting(batch) == shape
    launched = launcher.launch(batch)
    assert launched.computed_tokens == (shape[0] * shape[1] if shape else rows * length)
    np.testing.assert_array_equal(launched.result(), [[5 * length, length]] * rows)
    assert (launcher.counts.replays, launcher.counts.others) == ((1, 0) if shape else (0, 1))


def test_before_the_capture_nothing_is_replayed() -> None:
    launcher = GraphLauncher(
        Sums(), Rectangle(PAD), "cpu", PaddedLauncher(Sums(), Rectangle(PAD).arrays, "cpu"), recorded
    )
    np.testing.assert_array_equal(launcher.launch([[4, 5]]).result(), [[9, 2]])
    assert (launcher.counts.replays, launcher.counts.others) == (0, 1)


def test_a_forward_that_cannot_be_captured_runs_without_graphs_and_says_why() -> None:
    def refuse(_: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")

    launcher = GraphLauncher(
        Sums(), Rectangle(PAD), "cpu", PaddedLauncher(Sums(), Rectangle(PAD).arrays, "cpu"), refuse
    )
    launcher.capture(64)
    assert launcher.shapes == []
    assert "not permitted" in launcher.counts.refused
    np.testing.assert_array_equal(launcher.launch([[4, 5]]).result(), [[9, 2]])


def test_a_capture_that_runs_out_of_memory_is_a_memory_error() -> None:
    def exhaust(_: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    launcher = GraphLauncher(
        Sums(), Rectangle(PAD), "cpu", PaddedLauncher(Sums(), Rectangle(PAD).arrays, "cpu"), exhaust
    )
    with pytest.raises(DeviceMemoryError):
        launcher.capture(64)


# On a GPU


@pytest.fixture(scope="module")
def on_gpu() -> TransformerEmbedder:
    embedder = TransformerEmbedder.load("all-MiniLM-L6-v2", device="cuda:0")
    assert embedder.warm_up(16_384) > 0
    return embedder


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_replays_and_packed_rows_equal_the_cpu(on_gpu: TransformerEmbedder) -> None:
    print(on_gpu.info, on_gpu.graph_counts)  # noqa: T201
    exact = TransformerEmbedder.load("all-MiniLM-L6-v2", device="cpu", dtype="float32")
    texts = [" ".join(["a tombstone marks each row as deleted"] * (1 + i % 9)) for i in range(60)]
    rows = exact.tokenize(texts, TextKind.DOCUMENT)
    launcher = on_gpu._launcher
    assert isinstance(launcher, GraphLauncher)
    assert isinstance(launcher.otherwise, PackedLauncher)
    for batch in (rows[:1], rows[:5], rows):
        vectors, expected = on_gpu.embed(batch), exact.embed(batch)
        assert float(np.sum(vectors * expected, axis=1).min()) >= 0.999
        others = launcher.otherwise.launch(batch).result()
        assert float(np.sum(vectors * others, axis=1).min()) >= 0.999
    assert launcher.counts.replays > 0
    assert launcher.counts.others > 0


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_two_launches_may_be_in_flight_at_once(on_gpu: TransformerEmbedder) -> None:
    first, second = [[101, 2000, 102]], [[101, 3000, 3001, 102]]
    alone = [on_gpu.embed(first), on_gpu.embed(second)]
    launched = [on_gpu.launch(first), on_gpu.launch(second)]
    for handle, expected in zip(launched, alone, strict=True):
        np.testing.assert_allclose(handle.result(), expected, atol=1e-3)


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_a_batch_beyond_the_memory_cap_is_a_memory_error_and_the_next_one_runs(
    on_gpu: TransformerEmbedder,
) -> None:
    with pytest.raises(DeviceMemoryError):
        on_gpu.embed([[101] * 256] * 4096)
    assert on_gpu.embed([[101, 2000, 102]]).shape == (1, 384)


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_the_warmed_up_batch_stays_within_the_measured_peak(on_gpu: TransformerEmbedder) -> None:
    peak = on_gpu.warm_up(16_384)
    for length in (8, 33, 100, 256):
        on_gpu.embed([[101] * length] * (16_384 // length))
    assert torch.cuda.max_memory_reserved(0) <= peak * 9 / 8
