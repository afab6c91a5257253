"""What may be the name of a collection and the id of a document."""

import re
import unicodedata

from indexes.errors import InvalidNameError

MAX_NAME_CHARACTERS = 64
COLLECTION_PATTERN = f"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_NAME_CHARACTERS - 1}}}"
MAX_ID_BYTES = 512
_COLLECTION = re.compile(COLLECTION_PATTERN)
_SHOWN_CHARACTERS = 80


def check_collection_name(name: str) -> None:
    """Accept 1-64 letters, digits, ``_``, ``.`` and ``-``, a letter or digit first.

    Raises:
        InvalidNameError: anything else.
    """
    if not _COLLECTION.fullmatch(name):
        raise InvalidNameError(
            f"collection name {name[:_SHOWN_CHARACTERS]!r}: 1-64 letters, digits, '_', '.', '-', not led by a mark"
        )


def check_document_id(document_id: str) -> None:
    """Accept 1-512 UTF-8 bytes without control characters; not ``.`` or ``..``, which clients fold away in a path.

    Raises:
        InvalidNameError: anything else.
    """
    shown = repr(document_id[:_SHOWN_CHARACTERS])
    try:
        size = len(document_id.encode())
    except UnicodeEncodeError:
        raise InvalidNameError(f"document id {shown} holds a lone surrogate, which UTF-8 cannot express") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidNameError(f"document id {shown} takes {size} bytes; the limit is 1 to {MAX_ID_BYTES}")
    if any(unicodedata.category(character) == "Cc" for character in document_id):
        raise InvalidNameError(f"document id {shown} holds a control character")
    if document_id in {".", ".."}:
        raise InvalidNameError(f"document id {shown} is a path segment that clients and proxies fold away")
