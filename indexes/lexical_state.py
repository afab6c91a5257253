"""What a lexical index serves, and what an operator is told of it."""

from dataclasses import dataclass
from typing import Literal

from indexes.lexical_view import LexicalView

# building: rows are being read from the store. failing: the disk or tantivy refused, which is tried again. off: nobody
# looks for words where this collection is searched.
Absence = Literal["building", "failing", "off"]


@dataclass(frozen=True, slots=True)
class Served:
    """Both change at once, so that nobody takes a view for whole that is not.

    Attributes:
        view: what a search works on.
        absence: why words cannot be looked for in it; None while they can.
    """

    view: LexicalView
    absence: Absence | None


@dataclass(frozen=True, slots=True)
class LexicalState:
    """What an operator is told.

    Attributes:
        state: whether searches look for words; otherwise why not.
        rows: held, dead ones counted.
        newest_rows: of these, those that are not on the disk yet.
        bytes: on the disk.
        memory_bytes: of the newest rows.
    """

    state: Literal["ready"] | Absence
    rows: int
    newest_rows: int
    bytes: int
    memory_bytes: int
