"""What the server, the fork server and its children say to each other.

The server asks over a SOCK_SEQPACKET socket: a ``Request`` and two descriptors, the file and the child's end of a
stream that is this parse's own. The stream then carries lines of JSON: the child's pidfd with ``Started``, then its
``Result`` with the bytes of the text behind it, and from the fork server ``Exited`` when the child is dead. What a
child says is not trusted: a hostile file may have got hold of it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from service.ingest.parsing.limits import ParseLimits

LONGEST_REQUEST = 64 * 1024
LONGEST_LINE = 16 * 1024
LONGEST_NAME = 1000
LONGEST_MESSAGE = 1000
_MOST_LINES = 3  # that it has started, its result, its end
_BYTES_PER_CHARACTER = 4

Refusal = Literal["unsupported", "unreadable", "too_large"]


class BrokenMessageError(Exception):
    """Something else than the protocol was received."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The fork server's first words.

    Attributes:
        network: why children have a network; None where they have none.
        landlock: whether children can be kept from the file system by the kernel too, beside their limits.
    """

    network: str | None
    landlock: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A file to read."""

    name: str
    limits: ParseLimits

    def encoded(self) -> bytes:
        """At most ``LONGEST_REQUEST`` bytes; of a long name the end, with its suffix."""
        return json.dumps({"name": self.name[-LONGEST_NAME:], "limits": asdict(self.limits)}).encode()

    @classmethod
    def decoded(cls, data: bytes) -> "Request":
        """From the server, which is trusted."""
        fields = json.loads(data)
        return cls(fields["name"], ParseLimits(**fields["limits"]))


@dataclass(frozen=True, slots=True)
class Text:
    """What a file says."""

    title: str
    format: Literal["text", "markdown", "paged"]
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a file is not read."""

    why: Refusal
    message: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The end of a child.

    Attributes:
        code: negative for a signal, as ``subprocess`` has it.
    """

    code: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that was said about one parse.

    Attributes:
        result: None where the child came to no end of its own.
        exited: None where the fork server was lost.
    """

    result: Text | Refused | None
    exited: Exited | None

    @classmethod
    def of(cls, data: bytes) -> "Conversation":
        """What a stream has carried.

        Raises:
            BrokenMessageError: not the protocol.
        """
        result: Text | Refused | None = None
        at = lines = 0
        try:
            while at < len(data):
                lines += 1
                if lines > _MOST_LINES:
                    raise BrokenMessageError(f"a parser process said more than {_MOST_LINES} lines")
                fields, at = _fields_at(data, at)
                match fields:
                    case {"exit": int(code)}:
                        return cls(result, Exited(code))
                    case {"refused": why, "message": str(message)} if why in get_args(Refusal):
                        result = Refused(why, message[:LONGEST_MESSAGE])
                    case {
                        "title": str(title), "format": "text" | "markdown" | "paged" as format_, "bytes": int(size)
                    } if size >= 0:  # fmt: skip
                        text, at = data[at : at + size], at + size
                        result = Text(title, format_, text.decode()) if len(text) == size else None
                    case {"started": True}:
                        pass
                    case other:
                        raise BrokenMessageError(f"a parser process said {str(other)[:100]!r}")
        except (ValueError, RecursionError) as error:
            raise BrokenMessageError(f"a parser process does not keep to the protocol: {error}") from None
        return cls(result, None)


def _fields_at(data: bytes, at: int) -> tuple[Any, int]:
    """The line that begins there, and where the next one does: a megabyte of JSON would hold up the event loop."""
    end = data.find(b"\n", at, at + LONGEST_LINE)
    if end < 0:
        raise BrokenMessageError(f"a parser process said a line without an end within {LONGEST_LINE} bytes")
    return json.loads(data[at:end]), end + 1


def longest_conversation(limits: ParseLimits) -> int:
    """Bytes that a parse within its limits may send."""
    return limits.characters * _BYTES_PER_CHARACTER + 4 * LONGEST_LINE


def line(fields: Mapping[str, Any]) -> bytes:
    """A line of a stream."""
    return json.dumps(fields).encode() + b"\n"
