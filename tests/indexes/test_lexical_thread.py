"""One thread keeps every lexical index of a data directory."""

import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.lexical_under_test import LexicalUnderTest
from indexes.errors import LexicalError
from indexes.lexical_thread import LexicalThread

MINUTE = 60.0


def ended(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MINUTE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.mark.usefixtures("small_blocks")
def test_the_thread_keeps_every_index_and_outlives_their_failures(tmp_path: Path) -> None:
    both, thread = [LexicalUnderTest(tmp_path / "one"), LexicalUnderTest(tmp_path / "two")], LexicalThread()
    try:
        for each in both:
            thread.keep(each.lexical)
        both[0].lexical.step = lambda: (_ for _ in ()).throw(LexicalError("always"))  # type: ignore[method-assign]
        both[0].put("a", *["word"] * 9)
        both[0].lexical._not_before = 0.0
        for n in range(12):
            both[1].put(f"d{n}", "word", "word")
        ended(lambda: both[1].lexical.state.newest_rows == 0)
        ended(lambda: both[1].lexical.absence is None)
        assert len(both[1].found("word")) == 12
    finally:
        thread.close()
        for each in both:
            each.close()


def test_nothing_holds_an_index_that_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tantivy maps its files, which would be kept on the disk after they were removed."""
    monkeypatch.setattr("indexes.lexical._FLUSH_ROWS", 1)
    subject, other, thread = LexicalUnderTest(tmp_path / "one"), LexicalUnderTest(tmp_path / "two"), LexicalThread()
    try:
        for each in (other, subject):
            thread.keep(each.lexical)
            each.put("a", "word")
            ended(lambda each=each: each.lexical.state.newest_rows == 0)  # type: ignore[misc]
        subject.close()
        kept = weakref.ref(subject.lexical)
        del subject, each
        ended(lambda: kept() is None)
        assert str(tmp_path / "one" / "lexical") not in Path("/proc/self/maps").read_text()
    finally:
        thread.close()
        other.close()


def test_the_thread_ends_at_once_while_nothing_is_due(tmp_path: Path) -> None:
    subject = LexicalUnderTest(tmp_path / "one")
    thread = LexicalThread()
    thread.keep(subject.lexical)
    subject.put("a", "word")
    thread.close()
    assert subject.lexical.state.newest_rows == 1
    subject.close()
