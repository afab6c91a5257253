"""Spool: uploads on the disk for as long as they are read."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from anyio import CancelScope
from anyio.to_thread import run_sync

_FOLDER = "uploads"


class Spool:
    """A folder of the data directory, which this process alone writes to; what an earlier one left there is removed."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def kept(self, source: BinaryIO) -> AsyncIterator[Path]:
        """A file with what ``source`` holds, under a name of our own."""
        path = await run_sync(self._write, source)
        try:
            yield path
        finally:
            with CancelScope(shield=True):
                await run_sync(path.unlink)

    def _write(self, source: BinaryIO) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            shutil.copyfileobj(source, file)
        return Path(file.name)
