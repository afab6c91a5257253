"""Unix sockets of model servers."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from service.doctor.check import Finding, failure, ok, warning

# sockaddr_un.sun_path of Linux, the closing zero counted.
_LONGEST = 108
_CONNECT_S = 2.0


def look_at_socket(name: str, path: Path, *, managed: bool) -> Iterator[Finding]:
    """Length, directory, and what lies there now.

    Args:
        managed: ``quarry up`` makes the directory and removes a stale socket.
    """
    title, length = f"llm {name} socket", len(os.fsencode(path)) + 1
    if length > _LONGEST:
        found = f"{path} takes {length} bytes; the system takes {_LONGEST}"
        yield failure(title, found, f"set llm.{name}.url to a shorter path, such as unix:///run/{name}.sock")
        return
    if not path.exists():
        yield _directory(title, path.parent, managed=managed)
    elif not stat.S_ISSOCK(path.stat().st_mode):
        yield failure(title, f"{path} is there and is no socket", "remove it, or name another path")
    else:
        yield _listener(title, path, managed=managed)


def _directory(title: str, folder: Path, *, managed: bool) -> Finding:
    there = folder
    while managed and not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return failure(title, f"{folder} is no directory", "make it, or name another path")
    if not os.access(there, os.W_OK | os.X_OK):
        return failure(title, f"{there} cannot be written to by this user", "change its owner, or name another path")
    return ok(title, f"nothing is there yet, and {there} can be written to")


def _listener(title: str, path: Path, *, managed: bool) -> Finding:
    error = refusal(path)
    if error is None:
        return ok(title, f"{path} has a listener")
    if error.errno != errno.ECONNREFUSED:
        return failure(title, f"{path}: {error}", "see who may use the socket, and who does")
    found = f"{path} is stale: nobody listens there"
    return ok(title, f"{found}; quarry up removes it") if managed else warning(title, found, "remove it")


def refusal(path: Path) -> OSError | None:
    """Why nobody can be talked to at ``path``; None where somebody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error
    return None
