"""Named: where a name leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # that file brings FAISS, a second that a backup and the command line need not wait for
    from indexes.collection import QueriedCollection


@dataclass(frozen=True, slots=True)
class Named:
    """Where a name leads now; two of them are equal when nothing has changed between them."""

    name: str
    primary: "QueriedCollection"

    @property
    def collections(self) -> "Sequence[QueriedCollection]":
        """Those that take memory for the name."""
        return [self.primary]
