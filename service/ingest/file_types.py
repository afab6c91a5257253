"""Types of the files that are read, by their suffix."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

from service.errors import UnsupportedMediaTypeError

FileType = Literal["text", "markdown", "html", "pdf", "docx"]

FILE_TYPES: Mapping[str, FileType] = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}
SUFFIXES = tuple(FILE_TYPES)


def file_type(name: str) -> FileType:
    """What a file should be by its name.

    Raises:
        UnsupportedMediaTypeError: a suffix that is not known.
    """
    suffix = PurePosixPath(name).suffix
    found = FILE_TYPES.get(suffix.lower())
    if found is None:
        raise UnsupportedMediaTypeError(
            f"{name!r}: files of type {suffix or '(none)'!r} are not read; {', '.join(SUFFIXES)} are, and .jsonl by "
            "`quarry ingest` and :batch"
        )
    return found
