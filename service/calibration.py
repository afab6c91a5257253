"""Calibration: at start, how many tokens a forward should have, measured."""

import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass

from models.base import DeviceMemoryError
from service.device import Forward
from service.scheduling.capacity import CostModel

# Sizes are doubled until one takes this long, or twice in a row computes hardly more tokens a second than the last.
_LONGEST_S = 0.25
_GAIN = 1.03
_STALLED_STEPS = 2
_FIRST_TOKENS = 16
_ROW_TOKENS = 64
_ROUNDS = 3
# The knee: where a forward's fixed cost is down to this share of its time.
_FIXED_SHARE = 0.03
_SPECIAL_TOKENS = 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured.

    Attributes:
        points: (tokens computed, seconds), best of a few rounds each.
        cost: fitted to them.
        knee_tokens: more tokens at a time bring longer forwards and hardly more throughput.
    """

    points: tuple[tuple[int, float], ...]
    cost: CostModel
    knee_tokens: int


def calibrate(model: Forward, tokenize: Callable[[Sequence[str]], Sequence[Sized]], ceiling: int) -> Calibration:
    """Sweep batch sizes up to one that does not fit into memory; on the device thread.

    Args:
        tokenize: texts to inputs of the model.
        ceiling: most tokens to try.

    Raises:
        DeviceMemoryError, DeviceLostError: not even the smallest size could be computed.
    """
    points = [_measured(model, tokenize(_texts(_FIRST_TOKENS)))]
    tokens, stalled = 2 * _FIRST_TOKENS, 0
    while tokens <= ceiling and stalled < _STALLED_STEPS and points[-1][1] < _LONGEST_S:
        try:
            points.append(_measured(model, tokenize(_texts(tokens))))
        except DeviceMemoryError:
            ceiling = tokens // 2
            break
        stalled = stalled + 1 if _rate(points[-1]) < _GAIN * _rate(points[-2]) else 0
        tokens *= 2
    cost = CostModel(points)
    # From the line and not from the points: a single round that was disturbed should not decide.
    knee = int(cost.fixed_s / cost.per_token_s * (1 - _FIXED_SHARE) / _FIXED_SHARE)
    return Calibration(tuple(points), cost, min(knee, ceiling))


def _texts(tokens: int) -> list[str]:
    """Texts that come to about ``tokens`` tokens in any vocabulary that has a word of its own for ``a``."""
    length = min(tokens, _ROW_TOKENS)
    return ["a " * (length - _SPECIAL_TOKENS)] * (tokens // length)


def _measured(model: Forward, inputs: Sequence[Sized]) -> tuple[int, float]:
    """Tokens computed and the seconds of the least disturbed round."""
    launched = model.launch(inputs)  # the first time with a new shape, which may be slow
    launched.result()
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        model.launch(inputs).result()
        best = min(best, time.perf_counter() - start)
    return launched.computed_tokens, best


def _rate(point: tuple[int, float]) -> float:
    tokens, seconds = point
    return tokens / max(seconds, 1e-9)
