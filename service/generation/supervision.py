"""What the process that runs a language model's server says of it, and hears back."""

import time
from collections.abc import Callable


def _nobody_listens() -> None:
    return None


class Supervision:
    """One server as whoever runs it sees it; ``unsupervised`` until it says something.

    Attributes:
        phase: ``unsupervised``, ``starting``, ``ready``, ``frozen`` or ``down``.
        why: more about the phase, for the status page; may be empty.
        entered_at: when the phase began, by ``time.monotonic()``.
        on_token: called at every sign of life that a stream of the server gives.
        on_trouble: called when the server comes to a phase in which it cannot be asked.
    """

    def __init__(self) -> None:
        self.phase: str = "unsupervised"
        self.why = ""
        self.entered_at = float("-inf")
        self.on_token: Callable[[], None] = _nobody_listens
        self.on_trouble: Callable[[], None] = _nobody_listens

    @property
    def trouble(self) -> str | None:
        """Why the server cannot be asked now; None while it can."""
        if self.phase in {"unsupervised", "ready"}:
            return None
        return f"the language model's server is {self.phase}{f': {self.why}' if self.why else ''}"

    def enter(self, phase: str, why: str = "") -> None:
        """The server came to another phase of its life."""
        self.phase, self.why, self.entered_at = phase, why, time.monotonic()
        if self.trouble:
            self.on_trouble()

    def report_token(self) -> None:
        """A stream of the server moved."""
        self.on_token()
