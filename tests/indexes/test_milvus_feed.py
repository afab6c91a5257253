"""The way from commits to Milvus: in order, nothing lost, and nobody who searches finds neither the old nor the new."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from indexes.errors import MilvusUnavailableError
from indexes.milvus_feed import MilvusFeed, Parcel

PATIENCE_S = 60


class Rows:
    """As much of a table as a feed sees, and every call of it in order."""

    def __init__(self) -> None:
        self.there: set[int] = set()
        self.calls: list[tuple[str, list[int]]] = []
        self.broken: set[str] = set()
        self.deleting = threading.Event()
        self.inserting = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        self.inserting.set()
        assert self.go_on.wait(PATIENCE_S)
        self._called("upsert", [entity["row"] for entity in entities])
        self.there |= {entity["row"] for entity in entities}

    def delete(self, rows: Sequence[int]) -> None:
        self.deleting.set()
        self._called("delete", list(rows))
        self.there -= set(rows)

    def _called(self, what: str, rows: list[int]) -> None:
        if what in self.broken:
            raise MilvusUnavailableError(f"cannot {what}")
        self.calls.append((what, rows))


def parcel(version: int, added: Sequence[int] = (), removed: Sequence[int] = ()) -> Parcel:
    return Parcel(version, [{"row": row} for row in added], removed)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def feed(rows: Rows) -> MilvusFeed:
    return MilvusFeed(rows, 0)


def test_new_rows_come_before_old_ones_go(feed: MilvusFeed, rows: Rows) -> None:
    feed.add(parcel(1, [1, 2]))
    feed.add(parcel(2, [3], [1, 2]))
    feed.bring(2)
    assert rows.calls == [("upsert", [1, 2, 3]), ("delete", [1, 2])]
    assert (rows.there, feed.sent, feed.waiting) == ({3}, 2, 0)
    feed.bring(1)  # which it has
    assert len(rows.calls) == 2


def test_one_sends_for_all_who_wait(feed: MilvusFeed, rows: Rows) -> None:
    rows.go_on.clear()
    with ThreadPoolExecutor(9) as threads:
        feed.add(parcel(1, [1]))
        first = threads.submit(feed.bring, 1)
        assert rows.inserting.wait(PATIENCE_S)
        for version in range(2, 10):
            feed.add(parcel(version, [version]))
        others = [threads.submit(feed.bring, version) for version in range(2, 10)]
        rows.go_on.set()
        for waiting in (first, *others):
            waiting.result(PATIENCE_S)
    assert [call for call, _ in rows.calls] == ["upsert", "upsert"]
    assert feed.sent == 9


@pytest.mark.parametrize("broken", ["upsert", "delete"])
def test_what_milvus_did_not_take_goes_first_the_next_time(feed: MilvusFeed, rows: Rows, broken: str) -> None:
    feed.add(parcel(1, [1, 2]))
    feed.bring(1)
    rows.broken.add(broken)
    feed.add(parcel(2, [3], [1]))
    with pytest.raises(MilvusUnavailableError, match=f"cannot {broken}"):
        feed.bring(2)
    assert (feed.sent, feed.waiting, feed.failure) == (1, 1, f"cannot {broken}")
    with pytest.raises(MilvusUnavailableError):
        feed.check()  # nothing is committed in the meantime
    rows.broken.clear()
    feed.check()
    assert (rows.there, feed.sent, feed.waiting, feed.failure) == ({2, 3}, 2, 0, "")
    feed.check()


def test_a_failure_is_one_of_all_who_wait_for_it(feed: MilvusFeed, rows: Rows) -> None:
    """Each would else wait for a time of its own, one after the other."""
    rows.broken.add("upsert")
    rows.go_on.clear()
    feed.add(parcel(1, [1]))
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(feed.bring, 1)
        assert rows.inserting.wait(PATIENCE_S)
        others = [threads.submit(feed.bring, 1) for _ in range(7)]
        while len(feed._changed._waiters) < 7:  # type: ignore[attr-defined]
            pass
        rows.inserting.clear()
        rows.go_on.set()
        for waiting in (first, *others):
            with pytest.raises(MilvusUnavailableError, match="cannot upsert"):
                waiting.result(PATIENCE_S)
    assert not rows.inserting.is_set(), "nobody tried again"


def test_old_rows_stay_for_a_search_that_began_with_them(feed: MilvusFeed, rows: Rows) -> None:
    feed.add(parcel(1, [1]))
    feed.bring(1)
    with ThreadPoolExecutor(1) as threads:
        with feed.searching() as pin:
            pin(1)
            feed.add(parcel(2, [2], [1]))
            writing = threads.submit(feed.bring, 2)
            with feed.searching() as later:
                later(2)  # which needs the new rows, and no old ones
                assert rows.there == {1, 2}
            assert not rows.deleting.wait(0.05)
            assert not writing.done(), "a delete is acknowledged when nobody finds it"
        writing.result(PATIENCE_S)
    assert rows.there == {2}


def test_a_search_that_has_not_taken_its_version_is_waited_for(feed: MilvusFeed, rows: Rows) -> None:
    feed.add(parcel(1, [1]))
    feed.bring(1)
    with ThreadPoolExecutor(1) as threads:
        with feed.searching():
            feed.add(parcel(2, [2], [1]))
            writing = threads.submit(feed.bring, 2)
            assert not rows.deleting.wait(0.05)
        writing.result(PATIENCE_S)


def test_a_search_sends_what_its_version_needs_and_nothing_newer(feed: MilvusFeed, rows: Rows) -> None:
    """Deleting what is newer would wait for the search itself."""
    feed.add(parcel(1, [1]))
    feed.add(parcel(2, [2], [1]))
    feed.add(parcel(3, [3], [2]))
    with feed.searching() as pin:
        pin(2)
        assert rows.there >= {2}
        assert feed.sent == 2
    feed.bring(3)
    assert rows.there == {3}


def test_a_search_of_what_milvus_does_not_take_fails(feed: MilvusFeed, rows: Rows) -> None:
    rows.broken.add("upsert")
    feed.add(parcel(1, [1]))
    with feed.searching() as pin, pytest.raises(MilvusUnavailableError):
        pin(1)
    rows.broken.clear()
    with feed.searching() as pin:
        pin(1)
    assert rows.there == {1}


def test_nothing_is_sent_while_somebody_compares(feed: MilvusFeed, rows: Rows) -> None:
    feed.add(parcel(1, [1, 2]))
    feed.bring(1)
    feed.add(parcel(2, [3], [1]))
    with ThreadPoolExecutor(1) as threads:
        with feed.holding() as sent:
            writing = threads.submit(feed.bring, 2)
            assert not rows.deleting.wait(0.05)
            assert (sent.version, sent.doomed(2)) == (1, {1})
            assert rows.there == {1, 2}
        writing.result(PATIENCE_S)
    assert rows.there == {2, 3}


def test_who_compares_waits_for_what_is_being_sent(feed: MilvusFeed, rows: Rows) -> None:
    rows.go_on.clear()
    feed.add(parcel(1, [1]))

    def held() -> int:
        with feed.holding() as sent:
            return sent.version

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(feed.bring, 1)
        assert rows.inserting.wait(PATIENCE_S)
        comparing = threads.submit(held)
        rows.go_on.set()
        assert comparing.result(PATIENCE_S) == 1
        writing.result(PATIENCE_S)


def test_searches_and_writes_at_once_find_one_version_each(feed: MilvusFeed, rows: Rows) -> None:
    """Every version has one row, its own number; a search pinned at a version must find that row when it looks."""
    committed, stop, wrong = [0], threading.Event(), []
    feed.add(parcel(0, [0]))
    feed.bring(0)
    rows.upsert([{"row": 0}])

    def search() -> int:
        looked = 0
        while not stop.is_set():
            with feed.searching() as pin:
                version = committed[0]
                pin(version)
                if version not in rows.there:
                    wrong.append(version)
                looked += 1
        return looked

    with ThreadPoolExecutor(4) as threads:
        searching = [threads.submit(search) for _ in range(3)]
        try:
            for version in range(1, 300):
                feed.add(parcel(version, [version], [version - 1]))
                committed[0] = version
                feed.bring(version)
        finally:
            stop.set()
        looked = sum(each.result(PATIENCE_S) for each in searching)
    assert wrong == []
    assert looked > 20
    assert rows.there == {299}
