"""Whether a model server is well: what its answers, its failures and whoever runs it say."""

import time
from collections.abc import Callable

from service.errors import GenerationError, LlmOverloadedError, LlmRefusedError, LlmTimeoutError
from service.generation.circuit_breaker import BreakerState, CircuitBreaker
from service.generation.llm_costs import LlmCosts
from service.generation.patience import Patience
from service.generation.supervision import Supervision

# A first text that is late by this factor, and at least this late, is the server's fault and not a short deadline's.
_LATE_FACTOR = 4.0
_LATE_S = 1.0
# As long as nothing is known of its usual times.
_LATE_UNKNOWN_S = 5.0
# A full queue is told at once; text this little before it shows that the server works on what it took.
_BUSY_S = 1.0


class ServerHealth:
    """Judges what requests met, and opens the breaker.

    Counted against the server: broken and refused connections, 5xx, streams that end in an error or are no stream. Not
    counted: 4xx, which are the request's fault; a 503 or a late first text while others got text in the meantime, as
    that is a busy server; a time-out that a short deadline would have met on a good day too. Time-outs that do not
    count raise a suspicion, and the canary, which has patience of its own, settles it.

    Args:
        suspect: asks for a canary.
        on_trouble: called when nothing should be sent any more.
        on_recovery: called when something may be again.

    Attributes:
        misfit: why it is of no use beside the other servers, however well it is; None where it may be.
    """

    def __init__(
        self,
        supervision: Supervision,
        costs: LlmCosts,
        suspect: Callable[[], None],
        on_trouble: Callable[[], None] = lambda: None,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self.supervision = supervision
        self._costs = costs
        self.suspect = suspect
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        supervision.on_trouble = on_trouble
        self.breaker = CircuitBreaker(on_open=self._open)
        self.misfit: str | None = None
        self._last_sign = float("-inf")
        self._last_failure: str | None = None
        self._failed_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """Why nothing should be sent now."""
        if self.supervision.trouble or self.breaker.state is BreakerState.CLOSED:
            return self.supervision.trouble or self.misfit
        return f"the language model failed repeatedly, last: {self.breaker.cause}"

    @property
    def state(self) -> str:
        """``ready``, or what is or was wrong."""
        is_over = self._failed_at < self.supervision.entered_at  # whoever runs the server has seen it well since
        return self.trouble or (not is_over and self._last_failure) or "ready"

    def heard(self) -> None:
        """Text came, whoever it was for."""
        self._last_sign = time.monotonic()
        self.supervision.report_token()

    def has_been_heard(self, within_s: float) -> bool:
        """Text came in the last seconds."""
        return time.monotonic() - self._last_sign < within_s

    def is_busy(self, error: GenerationError, waited_s: float) -> bool:
        """The server fails one and works for others: they got text in the meantime, or just before it was full."""
        within_s = max(waited_s, _BUSY_S) if isinstance(error, LlmOverloadedError) else waited_s
        return self.has_been_heard(within_s)

    def answered(self) -> None:
        """An answer came to its end."""
        self._last_failure = None
        self.breaker.succeeded()

    def failed(self, error: GenerationError, patience: Patience) -> None:
        """A request met ``error``."""
        self.noted(error)
        if self._counts(error, patience):
            self.breaker.failed(error.outline)
        elif isinstance(error, LlmTimeoutError) and patience.waited_s >= self._usual_s():
            self.suspect()

    def noted(self, error: GenerationError) -> None:
        """Something is wrong that no request has met yet."""
        self._last_failure, self._failed_at = error.outline, time.monotonic()

    def judge_fit(self, misfit: str | None) -> None:
        """What the server says of itself was read; one that is of no use is asked again and again."""
        was, self.misfit = self.misfit, misfit
        if misfit:
            self._open()
        elif was:
            self._on_recovery()

    def _open(self) -> None:
        self.suspect()
        self._on_trouble()

    def left(self, patience: Patience) -> None:
        """Who asked went away, or waits. Whether for want of an answer is unknown: a suspicion at most."""
        if patience.waited_s >= self.late_s and not self.has_been_heard(patience.waited_s):
            self.suspect()

    def recovered(self) -> None:
        """The canary was answered."""
        self._last_failure = None
        self.breaker.close()
        self._on_recovery()

    def _counts(self, error: GenerationError, patience: Patience) -> bool:
        if isinstance(error, LlmRefusedError):
            return False
        if isinstance(error, LlmOverloadedError | LlmTimeoutError) and self.is_busy(error, patience.waited_s):
            return False
        return not isinstance(error, LlmTimeoutError) or patience.waited_s >= self.late_s

    def _usual_s(self) -> float:
        """A wait that was shorter says nothing about the server."""
        expected = self._costs.expectation
        return expected.first_token_s if expected else 0.0

    @property
    def late_s(self) -> float:
        """A first text that takes longer is the server's fault, unless others get theirs."""
        expected = self._costs.expectation
        return max(_LATE_S, _LATE_FACTOR * expected.first_token_s) if expected else _LATE_UNKNOWN_S
