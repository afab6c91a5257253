"""A node without a network: ``python offline.py BUNDLE PREFIX`` installs a bundle, serves, ingests and asks.

Needs nothing but the standard library, and says on stdout what came of it, as JSON.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_PATIENCE_S = 500
TEXT = "The pump of the cellar is closed by its blue valve. Bees sleep in winter."


def raise_loopback() -> None:
    """The interface of a new namespace is there, and down."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def run(*command: str | Path) -> str:
    """What it prints; how it fails is the end of the node."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def main(bundle: Path, prefix: Path) -> None:
    """Everything, and what came of it."""
    raise_loopback()
    interfaces = [name for _, name in socket.if_nameindex()]
    installed = run(bundle / "install.sh", prefix)
    work = prefix.parent / "work"
    work.mkdir()
    (work / "pump.txt").write_text(TEXT)
    os.chdir(work)
    quarry = prefix / "bin" / "quarry"
    with (work / "log").open("w") as log, subprocess.Popen([quarry, "serve"], stderr=log) as server:
        try:
            while subprocess.run([quarry, "health", "--ready"], capture_output=True, check=False).returncode:
                if server.poll() is not None:
                    sys.exit(f"quarry serve ended with {server.returncode}: {(work / 'log').read_text()}")
            run(quarry, "ingest", "pump.txt", "--collection", "cellar")
            answer = json.loads(run(quarry, "ask", "Which valve closes the pump?", "--collection", "cellar", "--json"))
        finally:
            server.send_signal(signal.SIGTERM)
        ended = server.wait(_PATIENCE_S)
    told = {"interfaces": interfaces, "installed": installed, "answer": answer, "ended": ended}
    print(json.dumps(told))  # noqa: T201  to whoever made the namespace


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
