"""The child of the fork server: it reads one file and ends."""

import fcntl
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from service.errors import DocumentTooLargeError, UnreadableDocumentError, UnsupportedMediaTypeError
from service.ingest.loaders import LoadedText
from service.ingest.parsing.confinement import end_with, leave_file_system, take_no_more
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.messages import LONGEST_MESSAGE, Request, line

Read = Callable[[str, bytes, ParseLimits], LoadedText]

_STREAM, _FILE, _DESCRIPTORS = 3, 4, 5
_ABOVE_ALL = 100
_FAILED = 70
_MARGIN = 1024 * 1024  # so that there is memory left to say that there is none
_REFUSALS = {
    UnsupportedMediaTypeError: "unsupported",
    UnreadableDocumentError: "unreadable",
    DocumentTooLargeError: "too_large",
}


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child needs of its fork server.

    Attributes:
        parent: process id of the fork server.
        stream: descriptor of this parse's stream.
        file: descriptor of the file.
        address_space: bytes that the fork server has of it.
    """

    parent: int
    stream: int
    file: int
    address_space: int


def live(birth: Birth, request: Request, read: Read) -> NoReturn:
    """Read the file, say what it says, and end; never returns, whatever happens."""
    code = _FAILED
    try:
        end_with(birth.parent)
        stream = _alone(birth)
        _announce(stream)
        leave_file_system()
        limits = request.limits
        take_no_more(limits.cpu_seconds, birth.address_space + limits.memory_bytes, _DESCRIPTORS)
        stream.sendall(_said(request, read))
        code = 0
    finally:
        os._exit(code)  # nothing of the fork server's interpreter may be run to its end here


def _alone(birth: Birth) -> socket.socket:
    """Close everything but the file and the stream: other parses have theirs in the fork server too."""
    null = os.open(os.devnull, os.O_RDWR)
    kept = [fcntl.fcntl(number, fcntl.F_DUPFD, _ABOVE_ALL) for number in (null, null, null, birth.stream, birth.file)]
    for number, descriptor in enumerate(kept):
        os.dup2(descriptor, number)
    os.closerange(_DESCRIPTORS, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=_STREAM)


def _announce(stream: socket.socket) -> None:
    """Give the server the means to kill this process."""
    own = os.pidfd_open(os.getpid())
    socket.send_fds(stream, [line({"started": True})], [own])
    os.close(own)


def _said(request: Request, read: Read) -> bytes:
    name, limits = request.name, request.limits
    reserve = bytearray(_MARGIN)
    try:
        data = _content()
        loaded = read(name, data, limits)
        return _text(loaded)
    except (UnsupportedMediaTypeError, UnreadableDocumentError, DocumentTooLargeError) as error:
        return _refused(_REFUSALS[type(error)], str(error))
    except MemoryError:
        del reserve
        return _refused(
            "too_large", f"{name!r} takes more than {limits.memory_bytes} bytes to read (parsing.memory_bytes)"
        )
    except RecursionError:
        return _refused("unreadable", f"{name!r} cannot be read: what it holds is nested too deeply")
    # The edge of a process that was made for this file: whatever a parser raises is about it.
    except Exception as error:
        return _refused("unreadable", f"{name!r} cannot be read: {type(error).__name__}: {error}")


def _content() -> bytes:
    with open(_FILE, "rb", closefd=False) as file:
        return file.read()


def _text(loaded: LoadedText) -> bytes:
    text = loaded.text.encode(errors="replace")
    title = loaded.title.encode(errors="replace").decode()
    return line({"title": title, "format": loaded.format, "bytes": len(text)}) + text


def _refused(why: str, message: str) -> bytes:
    return line({"refused": why, "message": message[:LONGEST_MESSAGE]})
