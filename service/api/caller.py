"""Who asks: whose share of the device a request counts against, and how long its client will wait."""

from fastapi import Request

from service.access.caller import Caller
from service.access.rights import Rights
from service.batching import Asker
from service.budget import Deadline
from service.ingest.writer import Writer
from service.scheduling.job import Lane

# A request of no more characters is a user who waits, and not an ingest.
_INTERACTIVE_CHARACTERS = 2048
_SECONDS_IN_MS = 1000
_LONGEST_MS = 600_000


def lane_of(characters: int) -> Lane:
    """Where a request of so many characters waits."""
    return Lane.QUERY if characters <= _INTERACTIVE_CHARACTERS else Lane.BULK


def caller_of(request: Request) -> Caller:
    """Who asks, as ``Authentication`` found out; not on open routes."""
    caller: Caller = request.state.caller
    return caller


def rights_of(request: Request) -> Rights:
    """What it may."""
    return caller_of(request).rights


def writer_of(request: Request) -> Writer:
    """It, as who writes documents."""
    caller = caller_of(request)
    return Writer(caller.name, caller.rights.filter)


def asker_of(request: Request, default_ms: int | None) -> Asker:
    """The caller with its deadline: ``default_ms``, or the read timeout that OpenAI's clients tell of if it is less."""
    said, caller = read_timeout_ms(request), caller_of(request)
    limits = [limit for limit in (said, default_ms) if limit is not None]
    return Asker(caller.name, Deadline.after(min(limits)) if limits else None, caller.realm)


def read_timeout_ms(request: Request) -> int | None:
    """How long OpenAI's clients wait for a byte, as a header says that nobody has to send rightly: nonsense is None."""
    try:
        milliseconds = float(request.headers.get("x-stainless-read-timeout", "")) * _SECONDS_IN_MS
    except ValueError:
        return None
    return int(milliseconds) if 1 <= milliseconds <= _LONGEST_MS else None
