"""The XML of an Office archive, expanded within limits and free of what would make a parser fetch or expand more."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from xml.parsers import expat

from service.errors import DocumentTooLargeError, QuarryError, UnreadableDocumentError, UnsupportedMediaTypeError
from service.ingest.parsing.limits import ParseLimits

_PIECE = 64 * 1024
_DEEPEST = 256  # elements within each other; Word itself stays below 100
_XML = (".xml", ".rels")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


def xml_archive(name: str, data: bytes, limits: ParseLimits) -> io.BytesIO:
    """A copy of an archive in memory, of its XML alone: images and archives within it are never opened.

    Raises:
        UnsupportedMediaTypeError: it is no archive.
        UnreadableDocumentError: damaged or encrypted, or XML with a DTD, which Office files must not have.
        DocumentTooLargeError: more members, or more bytes, than are wanted.
    """
    if data.startswith(_OLE):
        raise UnreadableDocumentError(f"{name!r} is encrypted, or in the format of Word before 2007")
    if not data.startswith(_ZIP):
        raise UnsupportedMediaTypeError(f"{name!r} is no Office file: it is not a zip archive")
    file = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(file, "w") as copy:
            members = archive.infolist()
            _check_directory(name, members, limits)
            left = limits.expanded_bytes
            for member in (member for member in members if member.filename.lower().endswith(_XML)):
                part = _expanded(name, archive, member, left)
                left -= len(part)
                _check_part(name, member.filename, part)
                copy.writestr(member.filename, part)
    except QuarryError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise UnreadableDocumentError(f"{name!r} is damaged: {error}") from None
    return file


def _check_directory(name: str, members: Sequence[zipfile.ZipInfo], limits: ParseLimits) -> None:
    if len(members) > limits.members:
        raise DocumentTooLargeError(
            f"{name!r} is an archive of {len(members)} members; the limit is {limits.members} (parsing.members)"
        )
    if (expanded := sum(member.file_size for member in members)) > limits.expanded_bytes:
        raise _too_large(name, f"{expanded}", limits.expanded_bytes)
    if len({member.filename for member in members}) < len(members):
        raise UnreadableDocumentError(f"{name!r} is damaged: two members of the archive have one name")
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableDocumentError(f"{name!r} is encrypted")
        if member.compress_type not in _METHODS:
            raise UnreadableDocumentError(f"{name!r} is compressed by method {member.compress_type}, which is not read")


def _expanded(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """The directory may lie about sizes, so they are counted again."""
    pieces: list[bytes] = []
    size = 0
    with archive.open(member) as file:
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise _too_large(name, "more", limit)
            pieces.append(piece)
    return b"".join(pieces)


def _too_large(name: str, size: str, limit: int) -> DocumentTooLargeError:
    return DocumentTooLargeError(f"{name!r} expands to {size} bytes; the limit is {limit} (parsing.expanded_bytes)")


class _Refusal(Exception):
    """Why a part of XML is not read."""


def _check_part(name: str, part: str, data: bytes) -> None:
    depth = 0

    def opened(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise _Refusal(f"more than {_DEEPEST} elements lie within each other")

    def closed(*_: object) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: object) -> None:
        raise _Refusal("it has a document type declaration, which Office files must not have")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = opened, closed, declared
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, _Refusal, LookupError) as error:
        raise UnreadableDocumentError(f"{name!r} is damaged: {part[:100]!r}: {error}") from None
