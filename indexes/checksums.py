"""Checksums of stored rows: what a file gives back is what was once given to it.

SQLite notices damage to its own structure, and none to what it holds. CRC-32 finds every flipped bit and all but one in
four billion of other accidents; it is no proof against somebody who changes a row on purpose.
"""

import zlib

# As expressions of SQL, in which the function has the same name; texts as bytes, which damaged ones still are.
OF_DOCUMENT = (
    "checksum(row, CAST(id AS BLOB), CAST(title AS BLOB), CAST(text AS BLOB), CAST(metadata AS BLOB), "
    "CAST(url AS BLOB), CAST(format AS BLOB), content_hash)"
)
OF_CHUNK = "checksum(row, document, ordinal, CAST(text AS BLOB), start, end, CAST(heading_path AS BLOB), page)"
OF_VECTOR = "checksum(chunk, vector)"
OF_SENTENCES = "checksum(chunk, count, spans, vectors)"


def checksum(*values: object) -> int:
    """CRC-32 of the columns of a row. None is not the empty text, and no column runs over into the next."""
    crc = 0
    for value in values:
        data = value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
        crc = zlib.crc32(data, zlib.crc32(b"%d:" % (-1 if value is None else len(data)), crc))
    return crc
