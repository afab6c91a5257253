"""Writer: who writes documents, and which of them exist for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexes.filters import Filter, matches_singly
from service.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes.

    Attributes:
        caller: whose share of the device the vectors count against.
        guard: what a document must pass to exist for the writer, that which is written and that which it replaces.
    """

    caller: str = ""
    guard: Filter | None = None

    def check(self, metadata: Mapping[str, Any]) -> None:
        """Refuse a document that would not exist for who writes it.

        Raises:
            ForbiddenError: it fails ``guard``, or would with one of its values alone.
        """
        if self.guard is not None and not matches_singly(self.guard, metadata):
            raise ForbiddenError("the document's metadata does not pass the filter of this key, each value by itself")


NOBODY = Writer()
