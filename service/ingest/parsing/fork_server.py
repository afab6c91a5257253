"""The fork server: a small process that has loaded the parsers and forks a child for each file.

It has one thread and loads neither models nor indexes, so that a fork is cheap and inherits no locks. It ends, and
every child with it, when its socket closes, as it does however the server ends.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass

from service.ingest.parsing import samples
from service.ingest.parsing.child import Birth, Read, live
from service.ingest.parsing.confinement import (
    address_space_bytes,
    landlock_version,
    leave_network,
    renounce_privileges,
)
from service.ingest.parsing.messages import LONGEST_REQUEST, Hello, Request, line
from service.ingest.parsing.reading import read as read_any

_NICENESS = 5  # questions come first


@dataclass(frozen=True, slots=True)
class _Child:
    """A child that runs.

    Attributes:
        end: descriptor that becomes readable when it is dead.
        stream: of its parse; it becomes readable when the server has hung up.
    """

    pid: int
    end: int
    stream: socket.socket


class ForkServer:
    """Takes requests from ``control`` until that closes."""

    def __init__(self, control: socket.socket, read: Read = read_any) -> None:
        self._control = control
        self._read = read
        self._selector = selectors.PollSelector()
        self._address_space = 0
        self._children: set[_Child] = set()

    def run(self) -> None:
        """Load, confine, say hello, serve; returns when the server has gone."""
        # A terminal and a service manager signal every process of a group: parses that run are still finished.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.nice(_NICENESS)
        samples.read_all(self._read)
        self._address_space = address_space_bytes()
        network = leave_network()
        renounce_privileges()
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page
        hello = Hello(network, landlock_version() > 0)
        try:
            self._control.sendall(json.dumps(asdict(hello)).encode())
        except BrokenPipeError:  # the server ended while this was loaded
            return
        self._selector.register(self._control, selectors.EVENT_READ)
        while all([self._serve(key.fileobj, key.data) for key, _ in self._selector.select()]):
            pass
        self._kill_all()

    def _serve(self, ready: object, child: _Child | None) -> bool:
        """One event; False ends the server."""
        if child is None:
            return self._take()
        if ready == child.end:
            self._bury(child)
        elif child in self._children:  # it may have been buried a moment ago
            self._hang_up(child)
        return True

    def _take(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_REQUEST, 2)
        except ConnectionResetError:  # the server ended without having read the hello
            return False
        if not data:
            return False
        stream, file = descriptors
        try:
            self._fork(Request.decoded(data), stream, file)
        except OSError as error:  # the stream closes without a word, which says so to the server
            sys.stderr.write(f"the parsers' fork server cannot start a process: {error}\n")
            os.close(stream)
        finally:
            os.close(file)
        return True

    def _fork(self, request: Request, stream: int, file: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            live(Birth(parent, stream, file, self._address_space), request, self._read)
        child = _Child(pid, os.pidfd_open(pid), socket.socket(fileno=stream))
        self._children.add(child)
        self._selector.register(child.end, selectors.EVENT_READ, child)
        self._selector.register(child.stream, selectors.EVENT_READ, child)

    def _hang_up(self, child: _Child) -> None:
        """Nobody waits for it any more."""
        self._selector.unregister(child.stream)
        _kill(child)

    def _bury(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        self._children.remove(child)
        self._selector.unregister(child.end)
        os.close(child.end)
        with suppress(KeyError):
            self._selector.unregister(child.stream)
        child.stream.setblocking(False)
        with suppress(OSError):  # it has hung up, or its buffer is full of what a hostile child has sent
            child.stream.sendall(line({"exit": os.waitstatus_to_exitcode(status)}))
        child.stream.close()

    def _kill_all(self) -> None:
        for child in self._children:
            _kill(child)


def _kill(child: _Child) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.end, signal.SIGKILL)


def main(control: int, read: Read = read_any) -> None:
    """Serve on the descriptor ``control``."""
    ForkServer(socket.socket(fileno=control), read).run()
