"""One JSON object a line on stderr; ids, hashes and counts, never content."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter


def configure_logging(level: str) -> None:
    """Send this program's and uvicorn's records through one JSON handler."""
    handler = logging.StreamHandler(sys.stderr)
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler.setFormatter(OrjsonFormatter(form, reserved_attrs=[*RESERVED_ATTRS, "color_message"]))
    for name in ("quarry", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
