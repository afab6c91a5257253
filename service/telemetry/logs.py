"""One JSON object a line on stderr; ids, hashes and counts, never content."""

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from service.access.key import without_secrets

AUDIT = "quarry.audit"
_MODE = 0o600
_DEEPEST = 10

_log = logging.getLogger("quarry.loop")

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class JsonForm(OrjsonFormatter):
    """Of an exception the types and the places: what it says may be what a client sent."""

    def __init__(self) -> None:
        form = "%(asctime)s %(levelname)s %(name)s %(message)s"
        super().__init__(form, reserved_attrs=[*RESERVED_ATTRS, "color_message"])

    def format(self, record: logging.LogRecord) -> str:
        """A line, in which no key of ours can be read."""
        return without_secrets(super().format(record))

    def formatException(self, ei: _ExcInfo) -> str:
        """The traceback without messages, causes last."""
        return "\n".join(_told(ei[1])) if ei[1] else ""


def configure_logging(level: str, audit_log: Path | None = None) -> None:
    """Send this program's and uvicorn's records through one JSON handler.

    Args:
        audit_log: a file for the audit log, which then goes nowhere else; one that was rotated away is made anew.

    Raises:
        OSError: it cannot be written.
    """
    handler = _formed(logging.StreamHandler(sys.stderr))
    for name in ("quarry", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # ours says it once, and not at every span
    audit = logging.getLogger(AUDIT)
    audit.handlers = [handler if audit_log is None else _formed(_private_file(audit_log))]
    audit.propagate = False
    audit.setLevel(logging.INFO)  # whatever else is wanted


def log_forgotten(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An event loop's handler of exceptions that nobody waited for: asyncio's own would write what they say."""
    error = context.get("exception")
    _log.error("nobody waited for what failed" if error else context.get("message", ""), exc_info=error)


def _formed(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(JsonForm())
    return handler


def _private_file(path: Path) -> logging.Handler:
    class Private(WatchedFileHandler):
        def _open(self) -> Any:  # noqa: ANN401  as its base
            return open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, _MODE))

    return Private(path)


def _told(error: BaseException | None, depth: int = 0) -> Iterator[str]:
    while error is not None and depth < _DEEPEST:
        yield "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__
        for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _told(one, depth + 1)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        depth += 1
