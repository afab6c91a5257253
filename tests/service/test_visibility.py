"""What of a collection exists for whom."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from indexes.collection import Collection
from indexes.document_rows import Entry
from indexes.filters import Filter, parse_filter
from service.access.rights import ALL, Rights
from service.visibility import Visible

RED = Rights(filter=parse_filter({"type": "eq", "key": "tenant", "value": "red"}))


@dataclass
class Listed:
    """As much of a collection as is read here."""

    reads: list[tuple[str, int, Filter | None]] = field(default_factory=list)

    def documents(self, after: str, limit: int, filter: Filter | None) -> list[Entry]:
        self.reads.append((after, limit, filter))
        return []


@pytest.mark.parametrize("rights", [ALL, RED])
def test_a_page_is_one_read_of_what_exists(rights: Rights) -> None:
    listed = Listed()
    assert Visible(cast("Collection", listed), rights).documents("d000", 2) == []
    assert listed.reads == [("d000", 2, rights.filter)]
