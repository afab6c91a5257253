"""The bytes of a file to its text, whatever its type."""

from dataclasses import replace
from pathlib import PurePosixPath

from service.ingest.file_types import file_type
from service.ingest.loaders import LoadedText, load_file
from service.ingest.parsing.docx import read_docx
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.pdf import read_pdf

_LONGEST_TITLE = 1000


def read(name: str, data: bytes, limits: ParseLimits) -> LoadedText:
    """What a file says; nothing where it is empty, whatever its name promises.

    Raises:
        UnsupportedMediaTypeError, UnreadableDocumentError, DocumentTooLargeError: it cannot be read.
    """
    own_name, type_ = PurePosixPath(name).name, file_type(name)
    if not data.strip():
        return LoadedText(own_name, "", "text")
    match type_:
        case "pdf":
            loaded = read_pdf(own_name, data, limits)
        case "docx":
            loaded = read_docx(own_name, data, limits)
        case _:
            loaded = load_file(own_name, data)
    limits.check_characters(own_name, len(loaded.text))
    return replace(loaded, title=loaded.title[:_LONGEST_TITLE])
