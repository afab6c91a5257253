"""ChildParsers: the Parser whose every file is read by a process of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from service.errors import (
    DocumentTooLargeError,
    OverloadedError,
    ParserLostError,
    QuarryError,
    UnreadableDocumentError,
    UnsupportedMediaTypeError,
)
from service.ingest.fair_slots import FairSlots
from service.ingest.file_types import file_type
from service.ingest.loaders import LoadedText
from service.ingest.parsing.kept_fork_server import KeptForkServer
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.messages import BrokenMessageError, Conversation, Refused, Request, Text
from service.ingest.parsing.running_parse import RunningParse
from service.ingest.places import Claim
from service.parsing_settings import ParsingSettings
from service.telemetry.parsing import ParsingMetrics

_FREE_WITHIN_S = 120.0
_RETRY_AFTER_S = 5.0
_MOST_BY_DEFAULT = 4
_LARGE_BYTES = 256 * 1024
_REFUSALS: dict[str, type[QuarryError]] = {
    "unsupported": UnsupportedMediaTypeError,
    "unreadable": UnreadableDocumentError,
    "too_large": DocumentTooLargeError,
}


class ChildParsers:
    """Reads files in children of a fork server, so many at a time; see ``service.ingest.parser.Parser``.

    Args:
        characters: of text that a document may have.
    """

    def __init__(
        self, server: KeptForkServer, settings: ParsingSettings, characters: int, metrics: ParsingMetrics
    ) -> None:
        self._server = server
        self._seconds = settings.seconds
        self._limits = ParseLimits(
            settings.cpu_seconds,
            settings.memory_bytes,
            settings.expanded_bytes,
            settings.members,
            settings.pages,
            characters,
        )
        self._metrics = metrics
        self._processes = settings.processes or min(len(os.sched_getaffinity(0)), _MOST_BY_DEFAULT)
        self._slots = FairSlots(self._processes, kept=0)
        self._most_queued = settings.max_queued
        self._queued = self._running = 0

    async def parse(self, name: str, raw: Path) -> LoadedText:
        """What a file says; cancelling it kills the child.

        Raises:
            UnsupportedMediaTypeError, UnreadableDocumentError, DocumentTooLargeError: the file.
            ParserUnavailableError: no child could be started.
            ParserLostError: it was lost, with its fork server or alone.
            OverloadedError: too many files wait already, or for too long.
            OSError: there is no such file at ``raw``.
        """
        type_ = file_type(name)
        async with self._slot(_claim(raw)):
            with self._metrics.measured(type_):
                return await self._parsed(name, raw)

    def describe(self) -> dict[str, object]:
        """For /v1/status."""
        numbers = {"processes": self._processes, "running": self._running, "queued": self._queued}
        return {**numbers, **self._server.describe()}

    @asynccontextmanager
    async def _slot(self, claim: Claim) -> AsyncIterator[None]:
        if self._queued >= self._most_queued:
            raise OverloadedError(
                f"{self._queued} files wait to be parsed; the limit is {self._most_queued}", _RETRY_AFTER_S
            )
        async with AsyncExitStack() as stack:
            self._queued += 1
            try:
                async with asyncio.timeout(_FREE_WITHIN_S):
                    await stack.enter_async_context(self._slots.taken(claim))
            except TimeoutError:
                raise OverloadedError(f"no parser was free within {_FREE_WITHIN_S:g} s", _RETRY_AFTER_S) from None
            finally:
                self._queued -= 1
            self._running += 1
            stack.callback(self._ended)
            yield

    def _ended(self) -> None:
        self._running -= 1

    async def _parsed(self, name: str, raw: Path) -> LoadedText:
        server = await self._server.running()
        file = os.open(raw, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # at once; of a thread, a cancel would lose it
        try:
            with RunningParse(server, Request(name, self._limits), file) as parse:
                conversation = await parse.conversation(self._seconds)
        except TimeoutError:
            raise DocumentTooLargeError(
                f"{name!r} takes longer than {self._seconds:g} s to read (parsing.seconds)"
            ) from None
        except BrokenMessageError as error:
            raise UnreadableDocumentError(f"{name!r} cannot be read: {error}") from None
        finally:
            os.close(file)
        return self._outcome(name, conversation)

    def _outcome(self, name: str, conversation: Conversation) -> LoadedText:
        if conversation.exited is not None:
            self._server.worked()
        match conversation.result:
            case Text(title, format_, text):
                self._limits.check_characters(name, len(text))
                return LoadedText(title, text, format_)
            case Refused(why, message):
                raise _REFUSALS[why](message)
        raise self._death(name, conversation.exited.code if conversation.exited else None)

    def _death(self, name: str, code: int | None) -> QuarryError:
        """Why a child ended without a word."""
        match code:
            case None:
                return ParserLostError(f"the process that read {name!r} was lost with its fork server")
            case _ if code == -signal.SIGXCPU:
                limit = self._limits.cpu_seconds
                return DocumentTooLargeError(f"{name!r} takes more than {limit} s to compute (parsing.cpu_seconds)")
            case _ if code >= 0 or code == -signal.SIGKILL:  # by the system when memory is short, or by an operator
                return ParserLostError(f"the process that read {name!r} was lost: {_ending(code)}")
        return UnreadableDocumentError(f"{name!r} cannot be read: its parser crashed, {_ending(code)}")


def _claim(raw: Path) -> Claim:
    """Large files and small ones take turns, whoever sent them."""
    is_large = raw.stat().st_size > _LARGE_BYTES
    return Claim("large" if is_large else "small", is_large)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
