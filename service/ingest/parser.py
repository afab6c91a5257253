"""The Parser protocol: a raw file to its text."""

from pathlib import Path
from typing import Protocol

from service.ingest.loaders import LoadedText


class Parser(Protocol):
    """Reads uploaded files, of which any number may be hostile."""

    async def parse(self, name: str, raw: Path) -> LoadedText:
        """What a file says.

        Args:
            name: of the file as its sender calls it; the suffix decides how it is read.
            raw: its bytes on the disk, which stay as they are.

        Raises:
            UnsupportedMediaTypeError: an unknown suffix, or bytes that are not what it says.
            UnreadableDocumentError: it is damaged or encrypted, or its text cannot be read.
            DocumentTooLargeError: it expands to more, or takes more, than a limit.
            ParserUnavailableError: it could not be tried; asked again it may be.
            ParserLostError: what read it was lost; asked again it may be read, or be the end of another.
        """
