"""Capacity: how much one model computes at a time, and how long that takes."""

from collections.abc import Iterable

# Weight that an observation keeps when the next one comes: the last hundred or so decide.
_DECAY = 0.99
# What the calibration's points weigh for ever, beside observations that add up to 1 / (1 - decay): they keep the line
# determined when all recent batches have one size.
_ANCHOR = 5.0
_ERROR_DECAY = 0.95
_LEAST_SECONDS = 1e-7
# However long they take: below this the fixed cost of a forward would eat the device, and all the more so on a machine
# that is slow because others use it too.
_LEAST_BULK_TOKENS = 256
# Batches without running out of memory after which a lowered budget is doubled again.
_RECOVERY_BATCHES = 256


class CostModel:
    """``seconds = fixed + per_token * tokens``, by least squares of the relative error over decayed observations.

    Args:
        points: (tokens, seconds) measured beforehand, at least one.
    """

    def __init__(self, points: Iterable[tuple[int, float]]) -> None:
        measured = list(points)
        self._anchors = _sums(measured, _ANCHOR / len(measured))
        self._recent: tuple[float, ...] = (0.0,) * 5
        self.error = 0.0
        self._fit()

    def seconds(self, tokens: int) -> float:
        """Expected time of one forward of ``tokens`` tokens."""
        return self.fixed_s + self.per_token_s * tokens

    def tokens_within(self, seconds: float) -> int:
        """Most tokens of a forward that is expected to end within ``seconds``."""
        return max(0, int((seconds - self.fixed_s) / self.per_token_s))

    def observe(self, tokens: int, seconds: float) -> None:
        """Refit to a forward that took ``seconds``; ``error`` follows the relative error of the prediction."""
        seconds = max(seconds, _LEAST_SECONDS)
        off = abs(self.seconds(tokens) - seconds) / seconds
        self.error = _ERROR_DECAY * self.error + (1 - _ERROR_DECAY) * off
        new = _sums([(tokens, seconds)], 1.0)
        self._recent = tuple(_DECAY * old + added for old, added in zip(self._recent, new, strict=True))
        self._fit()

    def _fit(self) -> None:
        """Solve the two normal equations; a line that would go below zero is tilted until it does not."""
        n, t, tt, s, st = (a + b for a, b in zip(self._anchors, self._recent, strict=True))
        determinant = n * tt - t * t
        slope = (n * st - t * s) / determinant if determinant > 1e-9 * n * tt else 0.0
        fixed = (s - slope * t) / n
        if slope <= 0 or fixed < 0:
            slope, fixed = (st / tt if tt else 0.0), 0.0
        self.fixed_s = fixed
        self.per_token_s = max(slope, 1e-12)


class Capacity:
    """The token budget of one model's forwards.

    Args:
        tokens: most tokens of one forward.
        cost: refitted as forwards end.
        bulk_batch_s: time a batch of the bulk lane should take at most, because a query may have to wait for it.
    """

    def __init__(self, tokens: int, cost: CostModel, bulk_batch_s: float) -> None:
        self.cost = cost
        self._ceiling = self._tokens = tokens
        self._bulk_batch_s = bulk_batch_s
        self._batches_since_shrink = 0

    @property
    def tokens(self) -> int:
        """Budget of a forward in the query lane."""
        return self._tokens

    @property
    def bulk_tokens(self) -> int:
        """Budget of a forward in the bulk lane."""
        return min(self._tokens, max(_LEAST_BULK_TOKENS, self.cost.tokens_within(self._bulk_batch_s)))

    def seconds(self, tokens: int) -> float:
        """Expected time of ``tokens`` tokens in as many forwards as they need."""
        if not tokens:
            return 0.0
        return self.cost.per_token_s * tokens + self.cost.fixed_s * -(-tokens // self._tokens)

    def observe(self, tokens: int, seconds: float) -> None:
        """Count a forward that ended well."""
        self.cost.observe(tokens, seconds)
        self._batches_since_shrink += 1
        if self._tokens < self._ceiling and self._batches_since_shrink >= _RECOVERY_BATCHES:
            self._tokens = min(self._ceiling, 2 * self._tokens)
            self._batches_since_shrink = 0

    def shrink(self, tokens: int) -> None:
        """Lower the budget after ``2 * tokens`` did not fit into memory."""
        self._tokens = max(1, min(self._tokens, tokens))
        self._batches_since_shrink = 0


def _sums(points: Iterable[tuple[int, float]], weight: float) -> tuple[float, ...]:
    """Of the normal equations, each point weighted by its inverse square, so that relative errors count."""
    n = t = tt = s = st = 0.0
    for tokens, seconds in points:
        w = weight / max(seconds, _LEAST_SECONDS) ** 2
        n, t, tt, s, st = n + w, t + w * tokens, tt + w * tokens**2, s + w * seconds, st + w * seconds * tokens
    return n, t, tt, s, st
