"""Files that somebody else may have put there: read only where they are files, and never more of them than expected.

A link would lead out of the folder, a pipe never end, and a device do something when it is opened.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The file to read, once it is known to be one.

    Raises:
        OSError: it is missing, or a link, a pipe, a device, a folder.
    """
    # Without NONBLOCK opening a pipe waits until somebody writes to it; files do not know it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_at_most(path: Path, most: int) -> bytes:
    """All of a file of ``most`` bytes at most.

    Raises:
        OSError: as ``opened``; or it is longer.
    """
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return data
