"""How a request of a language model ended, as the metrics name it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import (
    GenerationError,
    LlmNotAskedError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.telemetry.llm import Outcome

# The first row whose type matches counts.
_OUTCOMES: tuple[tuple[type[GenerationError], Outcome], ...] = (
    (LlmNotAskedError, "not_asked"),
    (LlmOverloadedError, "overloaded"),
    (LlmUnavailableError, "unavailable"),
    (LlmTimeoutError, "timeout"),
    (LlmRefusedError, "refused"),
    (GenerationError, "bad_response"),
)


@contextmanager
def counted(count: Callable[[Outcome], None]) -> Iterator[None]:
    """Count the block if it does not end well."""
    try:
        yield
    except GenerationError as error:
        count(next(outcome for type_, outcome in _OUTCOMES if isinstance(error, type_)))
        raise
    except (asyncio.CancelledError, GeneratorExit):
        count("abandoned")
        raise
