"""LogFile: what a process writes, in a file of bounded size."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LARGEST = 32 * 1024 * 1024
_READ_BACK = 64 * 1024
_LINES = 3
_LONGEST_QUOTE = 600
_ERROR = re.compile(r"\b\w*(Error|Exception|error):")
_NO_ERROR = re.compile(r"\b(WARNING|INFO|DEBUG) ")  # a line of vLLM's that may well quote one
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class LogFile:
    """Appended to by a process itself, so that it goes on when this one is gone; one older file is kept."""

    def __init__(self, path: Path, largest: int = _LARGEST) -> None:
        self.path = path
        self._largest = largest
        self._start = 0

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor to append with; ``last_words`` are of what comes from here on."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._start = os.fstat(descriptor).st_size
            yield descriptor
        finally:
            os.close(descriptor)

    def trim(self) -> None:
        """Move what is there to the older file once it is too much. What is written at this very moment may be lost."""
        if self.path.is_file() and self.path.stat().st_size > self._largest:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.truncate(self.path, 0)
            self._start = 0

    def last_words(self) -> str:
        """The last lines since ``opened`` that name an error, else the last ones; empty where there are none."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._start, size - _READ_BACK) if size >= self._start else 0)
                text = _ESCAPE.sub("", file.read().decode(errors="replace"))
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if _ERROR.search(line) and not _NO_ERROR.search(line)] or lines
        return " | ".join(telling[-_LINES:])[-_LONGEST_QUOTE:]
