"""ForkServerProcess: the fork server as its parent sees it, from its start to its end."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Sequence

from service.errors import ParserUnavailableError
from service.ingest.parsing.messages import LONGEST_LINE, Hello, Request
from service.ingest.parsing.readiness import readable
from service.settings import environment

# With the path of this process rather than a working directory that may hold a package of the same name.
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {} import main; main(int(sys.argv[1]))"
_MODULE = "service.ingest.parsing.fork_server"
# What an interpreter may need to find its libraries. All else stays here: it may hold keys.
_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL")
_LOADED_WITHIN_S = 60.0
_ENDED_WITHIN_S = 5.0


class ForkServerProcess:
    """A fork server that was started; it ends when its socket closes, at the latest with this process.

    Args:
        module: whose ``main`` it runs.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, module: str = _MODULE) -> None:
        inherited = environment()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  nothing of it comes from outside
                    _command(module, theirs.fileno()),
                    env={name: inherited[name] for name in _VARIABLES if name in inherited},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError:
                self._control.close()
                raise
        self._control.setblocking(False)
        self._hello: Hello | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    async def hello(self) -> Hello:
        """Wait until it is ready.

        Raises:
            ParserUnavailableError: it ended, or has not loaded its parsers in time.
        """
        if self._hello is None:
            try:
                async with asyncio.timeout(_LOADED_WITHIN_S):
                    await readable(self._control)
                data = self._control.recv(LONGEST_LINE)
            except (TimeoutError, OSError) as error:
                raise ParserUnavailableError(f"the parsers' fork server did not start: {error}") from None
            if not data:
                raise ParserUnavailableError("the parsers' fork server ended while it started; its log says why")
            self._hello = Hello(**json.loads(data))
        return self._hello

    def ask(self, request: Request, stream: int, file: int) -> None:
        """Have a file read.

        Args:
            stream: descriptor that the reading is told on.
            file: descriptor of the file.

        Raises:
            ParserUnavailableError: the fork server is lost.
        """
        try:
            socket.send_fds(self._control, [request.encoded()], [stream, file])
        except OSError as error:
            raise ParserUnavailableError(f"the parsers' fork server is lost: {error}") from None

    def close(self) -> None:
        """End it, and every child with it; returns when it has ended."""
        self._control.close()
        try:
            self._process.wait(_ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children are killed with it, by the kernel
            self._process.wait()


def _command(module: str, control: int) -> Sequence[str]:
    return [sys.executable, "-P", "-c", _PROGRAM.format(module), str(control), json.dumps(sys.path)]
