"""What the parent says: a line of the log for each phase of each process."""

import logging
import time

_log = logging.getLogger("quarry.up")
_BAD = frozenset({"frozen", "down", "killed", "crash loop"})


def report(process: str, phase: str, why: str = "", **more: object) -> None:
    """Log that ``process`` came to ``phase``; with ``time.monotonic()``, as the clock of the log may be set."""
    level = logging.WARNING if phase in _BAD else logging.INFO
    extra = {"child": process, "phase": phase, "why": why, "monotonic": round(time.monotonic(), 3), **more}
    _log.log(level, f"{process}: {phase}{f': {why}' if why else ''}", extra=extra)
