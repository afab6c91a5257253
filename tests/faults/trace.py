r"""Reads what ``strace -f -y -xx`` wrote: system calls with their paths and data, in the order of their effects.

With -xx every character of a string or path is ``\xHH``, so no quote, comma or bracket inside one can mislead. A call
during which another thread came to speak is told on two lines, ``name(... <unfinished ...>`` and ``<... name
resumed>...) = result``: it begins at the first and has surely happened at the second.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(r"(\d+)\s+(.*)", re.DOTALL)
_BEGUN = re.compile(r"(.*?)\s*<unfinished \.\.\.>", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>,?\s*(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<([^>]*)>)?", re.DOTALL)
_ARGUMENT = re.compile(
    r'\s*(?:\[\{iov_base="(?P<vector>[^"]*)"(?P<more>\.\.\.)?[^]]*\]|"(?P<string>[^"]*)"(?P<cut>\.\.\.)?|[^,]+)'
)
_DESCRIPTOR = re.compile(r"(AT_FDCWD|-?\d+)<([^>]*)>(\(deleted\))?")


class TraceError(ValueError):
    """A line that cannot be read, or does not say all of its data."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An open file: its number, and its path at the time of the call; None once that is deleted."""

    number: str
    path: str | None


Argument = bytes | Descriptor | str


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.

    Attributes:
        begun: line on which it begins, from 0.
        ended: line on which it ends, which is often the same.
        arguments: strings and buffers as bytes, descriptors with their paths, the others as they are printed.
        result: -1 for one that failed.
    """

    thread: int
    name: str
    arguments: tuple[Argument, ...]
    result: int
    begun: int
    ended: int


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls that ended, by their ends; signals, exits and calls cut short by a kill are left out.

    Raises:
        TraceError: a line is not understood.
    """
    begun: dict[int, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        matched = _LINE.fullmatch(line.rstrip("\n"))
        if matched is None:
            raise TraceError(f"line {number} has no thread: {line[:100]!r}")
        thread, said = int(matched[1]), matched[2]
        if said.startswith(("+++", "---", "strace:")):
            continue
        if unfinished := _BEGUN.fullmatch(said):
            begun[thread] = (number, unfinished[1])
            continue
        start = number
        if resumed := _RESUMED.fullmatch(said):
            start, opening = begun.pop(thread)
            separator = "" if opening.endswith(("(", ", ")) or resumed[2].startswith(")") else ", "
            said = opening + separator + resumed[2]
        call = _call(said, thread, start, number)
        if call is not None:
            yield call


def _call(said: str, thread: int, begun: int, ended: int) -> Call | None:
    matched = _CALL.match(said)
    if matched is None:
        raise TraceError(f"line {ended} is no call: {said[:100]!r}")
    if matched[3] == "?":
        return None  # the process ended in it
    arguments = tuple(_argument(found, ended) for found in _ARGUMENT.finditer(matched[2]))
    return Call(thread, matched[1], arguments, int(matched[3]), begun, ended)


def _argument(found: re.Match[str], line: int) -> Argument:
    if found["cut"] or found["more"]:
        raise TraceError(f"line {line} does not say all of its data: strace needs a larger -s")
    quoted = found["string"] if found["string"] is not None else found["vector"]
    if quoted is not None:
        return _bytes(quoted)
    said = found[0].strip()
    if descriptor := _DESCRIPTOR.fullmatch(said):
        return Descriptor(descriptor[1], None if descriptor[3] else _bytes(descriptor[2]).decode())
    return said


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))
