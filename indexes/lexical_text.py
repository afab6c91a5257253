"""The text whose words a chunk is found by: title, headings and its own, as its vector is made of them."""

import sqlite3
from collections.abc import Sequence

import orjson


def lexical_text(title: str, heading_path: Sequence[str], text: str) -> str:
    """One line for the title and for each heading, then the chunk; a title that is its first heading counts once."""
    lines = [line for line in (title, *heading_path) if line]
    if len(lines) > 1 and lines[0] == lines[1]:
        del lines[0]
    return "\n".join([*lines, text])


def texts_behind(connection: sqlite3.Connection, last: int, rows: int) -> list[tuple[int, str]]:
    """(row, lexical text) of up to ``rows`` chunks behind ``last``, ascending."""
    found = connection.execute(
        "SELECT c.row, d.title, c.heading_path, c.text FROM chunks c JOIN documents d ON d.row = c.document "
        "WHERE c.row > ? ORDER BY c.row LIMIT ?",
        (last, rows),
    )
    return [(row, lexical_text(title, orjson.loads(path), text)) for row, title, path, text in found]
