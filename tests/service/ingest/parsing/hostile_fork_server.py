"""A fork server whose text files say what a parser that was taken over does."""

import ctypes
import os
import resource
import signal
import socket
import sys
import time

from service.ingest.loaders import LoadedText
from service.ingest.parsing import fork_server
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.reading import read as read_any

_UNREACHABLE = ("192.0.2.1", 9)  # TEST-NET-1
_PARENT, _STREAM = os.getpid(), 3


def read(name: str, data: bytes, limits: ParseLimits) -> LoadedText:
    word, _, argument = data.decode(errors="replace").partition(" ")
    deed = _DEEDS.get(word) if name.endswith(".txt") else None
    return LoadedText(name, deed(argument) or "nothing", "text") if deed else read_any(name, data, limits)


def _attempt(deed: object, *arguments: object) -> str:
    try:
        return f"did: {deed(*arguments)}"  # type: ignore[operator]
    except OSError as error:
        return f"refused: {error.strerror}"


def _eat(_: str) -> str:
    eaten = [bytes(1 << 20)]
    while True:
        eaten.append(b"x" * (1 << 20))


def _spin(_: str) -> str:
    while True:
        pass


def _hang(_: str) -> str:
    while True:
        signal.pause()


def _datagram(_: str) -> str:
    os.close(0)  # makes room for a socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return _attempt(sender.sendto, b"hello", _UNREACHABLE)


def _stream(port: str) -> str:
    os.close(0)
    with socket.socket() as client:
        return _attempt(client.connect, ("127.0.0.1", int(port)))


def _open(path: str) -> str:
    limited = _attempt(os.open, path, os.O_RDONLY)
    os.close(0)
    return f"{limited}; {_attempt(os.open, path, os.O_RDONLY)}"


def _write(path: str) -> str:
    os.close(0)
    return _attempt(os.open, path, os.O_WRONLY | os.O_CREAT)


def _grow(_: str) -> str:
    """More of what is limited than the limit."""
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        try:
            resource.setrlimit(kind, (1 << 40, 1 << 40))
        except (ValueError, OSError):
            continue
        return f"did: {kind}"
    return "refused"


def _descriptors(_: str) -> str:
    return ",".join(str(number) for number in range(1000) if _is_open(number))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _flood(_: str) -> str:
    while True:
        os.write(_STREAM, b"x" * 65536)


def _say(text: str) -> str:
    os.write(_STREAM, text.encode())
    os._exit(0)


def _repeat(text: str) -> str:
    """As much of it as a parse may say, which is read at once."""
    left = memoryview(text.encode() * (4_000_000 // len(text)))
    while left:
        left = left[os.write(_STREAM, left) :]
    os._exit(0)


def _recurse(text: str) -> str:
    return _recurse(text)


def _dream(seconds: str) -> str:
    time.sleep(float(seconds))
    return "slept"


_DEEDS = {
    "crash": lambda _: str(ctypes.string_at(0)),
    "eat": _eat,
    "spin": _spin,
    "hang": _hang,
    "exit": lambda code: os._exit(int(code)),
    "raise": lambda text: str({}[text]),
    "recurse": _recurse,
    "datagram": _datagram,
    "stream": _stream,
    "open": _open,
    "write": _write,
    "grow": _grow,
    "kill": lambda _: _attempt(os.kill, _PARENT, signal.SIGKILL),
    "descriptors": _descriptors,
    "environment": lambda _: ",".join(sorted(os.environ)) or "none",
    "modules": lambda _: ",".join(sorted({module.partition(".")[0] for module in sys.modules})),
    "flood": _flood,
    "say": _say,
    "repeat": _repeat,
    "dream": _dream,
}


def main(control: int) -> None:
    fork_server.main(control, read)
