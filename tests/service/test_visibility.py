"""What of a collection exists for whom."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from indexes.collection import Collection
from indexes.filters import parse_filter
from service import visibility
from service.access.rights import ALL, Rights
from service.visibility import Entry, Visible

RED = Rights(filter=parse_filter({"type": "eq", "key": "tenant", "value": "red"}))


@dataclass
class Listed:
    """As much of a collection as is read here."""

    entries: list[Entry]
    reads: list[tuple[str, int]] = field(default_factory=list)

    def documents(self, after: str, limit: int) -> list[Entry]:
        self.reads.append((after, limit))
        return [entry for entry in self.entries if entry[0] > after][:limit]


def of(tenants: str) -> Listed:
    names = {"r": "red", "b": "blue"}
    metadata: list[dict[str, Any]] = [{"tenant": names[letter]} for letter in tenants]
    return Listed([(f"d{number:03}", "", None, each) for number, each in enumerate(metadata)])


def ids(entries: list[Entry]) -> list[str]:
    return [entry[0] for entry in entries]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_hold_all_that_exists_and_nothing_else(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(visibility, "_BLOCK", 3)
    listed = of("bbbbbbrbbbrrrrbbbb")
    visible, after, found = Visible(cast("Collection", listed), RED), "", list[str]()
    while page := ids(visible.documents(after, limit)):
        assert len(page) <= limit
        found += page
        after = page[-1]
    assert found == ["d006", "d010", "d011", "d012", "d013"]


def test_without_a_filter_a_page_is_one_read() -> None:
    listed = of("rbrb")
    assert ids(Visible(cast("Collection", listed), ALL).documents("d000", 2)) == ["d001", "d002"]
    assert listed.reads == [("d000", 2)]
