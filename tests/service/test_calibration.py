"""How many tokens a forward should have, by a clock that follows a script."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from models.base import DeviceLostError, DeviceMemoryError, Finished, TextKind, TokenIds
from models.hashing import HashingEmbedder
from service.calibration import Calibration, calibrate

FIRST_TOKENS = 14  # sixteen less the two special tokens that this tokenizer does not add


class Costly(HashingEmbedder):
    """Each forward takes what the test says, in its own time."""

    def __init__(self, seconds: Callable[[int], float], fitting: int = 10**9) -> None:
        super().__init__()
        self.now = 0.0
        self.sizes: list[int] = []
        self._seconds = seconds
        self._fitting = fitting

    def launch(self, batch: Sequence[TokenIds]) -> Finished:
        tokens = sum(map(len, batch))
        self.sizes.append(tokens)
        if tokens > self._fitting:
            raise DeviceMemoryError(f"{tokens} tokens did not fit")
        self.now += self._seconds(tokens)
        return Finished(tokens, self.embed(batch[:1]))


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calibration]:
    def measured(model: Costly, ceiling: int = 4096) -> Calibration:
        monkeypatch.setattr("service.calibration.time", SimpleNamespace(perf_counter=lambda: model.now))
        return calibrate(model, lambda texts: model.tokenize(texts, TextKind.DOCUMENT), ceiling)

    return measured


def test_a_line_is_found_with_its_knee(calibrated: Callable[..., Calibration]) -> None:
    measured = calibrated(Costly(lambda tokens: 0.002 + 20e-6 * tokens))
    assert measured.cost.fixed_s == pytest.approx(0.002, rel=1e-3)
    assert measured.cost.per_token_s == pytest.approx(20e-6, rel=1e-3)
    # Where the fixed cost is 3 % of the whole.
    assert measured.knee_tokens == pytest.approx((0.002 / 0.03 - 0.002) / 20e-6, rel=1e-3)
    assert measured.cost.seconds(measured.knee_tokens) * 0.03 == pytest.approx(0.002, rel=1e-2)


@pytest.mark.parametrize("ceiling", [16, 100, 1000])
def test_nothing_above_the_ceiling_is_tried_or_advised(calibrated: Callable[..., Calibration], ceiling: int) -> None:
    model = Costly(lambda tokens: 0.01 + 1e-9 * tokens)
    measured = calibrated(model, ceiling)
    assert max(model.sizes) <= ceiling
    assert measured.knee_tokens <= ceiling


def test_it_stops_where_throughput_is_flat(calibrated: Callable[..., Calibration]) -> None:
    model = Costly(lambda tokens: 1e-4 * tokens)
    measured = calibrated(model)
    assert [tokens for tokens, _ in measured.points] == [14, 30, 62]
    assert measured.knee_tokens == 0


def test_it_stops_where_a_forward_takes_long(calibrated: Callable[..., Calibration]) -> None:
    measured = calibrated(Costly(lambda tokens: 0.2 + 0.001 * tokens), ceiling=1_000_000)
    assert [seconds >= 0.25 for _, seconds in measured.points] == [False] * (len(measured.points) - 1) + [True]


def test_sizes_are_doubled_and_the_least_disturbed_round_counts(calibrated: Callable[..., Calibration]) -> None:
    noise = iter([50.0, 9.0, 1.0, 3.0] * 100)  # the first round warms up; the third is the best
    measured = calibrated(Costly(lambda tokens: 1e-3 * next(noise)), ceiling=128)
    assert [tokens for tokens, _ in measured.points] == [14, 30, 62, 124]
    assert [seconds for _, seconds in measured.points] == pytest.approx([1e-3] * 4)


def test_it_stops_where_memory_does(calibrated: Callable[..., Calibration]) -> None:
    model = Costly(lambda tokens: 0.01 + 1e-9 * tokens, fitting=512)
    measured = calibrated(model)
    assert measured.points[-1][0] == 496
    assert measured.knee_tokens == 512
    assert sum(size > 512 for size in model.sizes) == 1


def test_a_device_without_room_for_the_smallest_size_is_an_error(calibrated: Callable[..., Calibration]) -> None:
    with pytest.raises(DeviceMemoryError, match=f"{FIRST_TOKENS} tokens"):
        calibrated(Costly(lambda _: 0.01, fitting=3))


def test_a_lost_device_is_an_error(calibrated: Callable[..., Calibration]) -> None:
    def lost(tokens: int) -> float:
        if tokens > 50:
            raise DeviceLostError("gone")
        return 0.01

    with pytest.raises(DeviceLostError, match="gone"):
        calibrated(Costly(lost))
