"""The lexical index follows its store, at any moment, whatever happens to its files."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.lexical_under_test import LexicalUnderTest
from indexes import lexical as lexical_module
from indexes.base import Chunk
from indexes.errors import LexicalError
from indexes.lexical import LexicalIndex
from indexes.lexical_disk import LexicalDisk, Written
from indexes.word_engine import WordEngine


@pytest.fixture
def subject(tmp_path: Path) -> LexicalUnderTest:
    return LexicalUnderTest(tmp_path / "one")


def test_a_row_is_found_at_once_and_after_it_is_on_the_disk_and_after_a_start(subject: LexicalUnderTest) -> None:
    subject.put("a", "red apple", "green pear")
    subject.put("b", "red pear")
    for step in (lambda: None, subject.lexical.settle, subject.reopen, subject.lexical.rebuild):
        step()
        assert subject.found("red") == {"a", "b"}
        assert subject.found("apple") == {"a"}
        assert subject.found("absent") == set()
        assert subject.lexical.verify(subject.stored()) == []
        assert subject.lexical.trouble == []


def test_the_state_says_how_much_there_is(subject: LexicalUnderTest) -> None:
    subject.put("a", "one two", "three")
    state = subject.lexical.state
    assert (state.state, state.rows, state.newest_rows, state.bytes) == ("ready", 2, 2, 0)
    assert state.memory_bytes > 0
    subject.lexical.settle()
    state = subject.lexical.state
    assert (state.state, state.rows, state.newest_rows, state.memory_bytes) == ("ready", 2, 0, 0)
    on_disk = sum(path.stat().st_size for path in subject.folder.glob("lexical/*/*"))
    assert 0 < state.bytes <= on_disk


def test_titles_and_headings_are_found_too(subject: LexicalUnderTest) -> None:
    chunk = Chunk("a", 0, "body", 0, 1, heading_path=("Title", "Chapter"))
    assert subject.lexical.words_of("Title", [chunk]).texts == ["title chapter body"]
    assert subject.lexical.words_of("", [chunk]).texts == ["title chapter body"]
    assert subject.lexical.words_of("Other", [chunk]).texts == ["other title chapter body"]


def test_a_title_and_headings_are_read_once_for_all_chunks_below_them(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    terms = subject.lexical._analyzer.terms
    monkeypatch.setattr(subject.lexical._analyzer, "terms", lambda text: read.append(text) or terms(text))
    paths = [("One",)] * 5 + [("Two", "Deep")] * 5
    chunks = [Chunk("a", n, f"body {n}", 0, 1, heading_path=path) for n, path in enumerate(paths)]
    words = subject.lexical.words_of("Title", chunks)
    assert len([text for text in read if "Title" in text]) == 2
    assert words.texts[0] == "title one body 0"
    assert words.texts[9] == "title two deep body 9"


def test_rows_are_brought_to_the_disk_when_there_are_many_or_when_they_have_waited(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subject.lexical.due_at == float("inf")
    before = time.monotonic()
    subject.put("a", "x")
    assert before + 10 <= subject.lexical.due_at <= time.monotonic() + 10
    monkeypatch.setattr(lexical_module, "_FLUSH_ROWS", 3)
    subject.put("b", "x", "x")
    assert subject.lexical.due_at <= time.monotonic()
    subject.lexical.step()
    assert subject.lexical.due_at == float("inf")


@pytest.mark.usefixtures("small_blocks")
def test_what_is_missing_is_made_up_for_at_the_start_or_in_the_background(subject: LexicalUnderTest) -> None:
    for n in range(4):
        subject.put(f"d{n}", "word")
    subject.reopen()  # few: at once
    assert subject.found("word") == {"d0", "d1", "d2", "d3"}
    for n in range(4, 30):
        subject.put(f"d{n}", "word")
    subject.reopen()
    assert subject.lexical.absence == "building"
    subject.lexical.step()
    assert subject.lexical.absence == "building"
    subject.put("late", "word")  # while it is being built
    subject.lexical.settle()
    assert subject.found("word") == {*(f"d{n}" for n in range(30)), "late"}


@pytest.mark.usefixtures("small_blocks")
def test_memory_is_bounded_and_what_it_does_not_take_is_read_from_the_store(subject: LexicalUnderTest) -> None:
    for n in range(25):
        subject.put(f"d{n}", "word")
    assert subject.lexical.absence == "building"
    assert subject.lexical.state.memory_bytes == 0
    subject.lexical.settle()
    assert subject.found("word") == {f"d{n}" for n in range(25)}
    subject.reopen()
    assert subject.lexical.absence is None, "all of it was on the disk"


@pytest.mark.usefixtures("small_blocks")
def test_rows_that_died_leave_once_they_are_most(subject: LexicalUnderTest) -> None:
    for _ in range(15):
        subject.put("same", "word")
    assert subject.found("word") == {"same"}
    while subject.lexical.due_at <= time.monotonic():
        assert subject.found("word") == {"same"}, "it goes on being searched"
        subject.lexical.step()
    subject.lexical.settle()
    assert subject.lexical.state.rows == 1


def test_a_rebuild_leaves_nothing_of_rows_that_died(subject: LexicalUnderTest) -> None:
    subject.put("a", "secretword")
    subject.put("b", "other")
    subject.lexical.settle()
    subject.put("c", "secondsecret")
    gone = np.array([1, 3])
    subject.delete("a")
    subject.delete("c")
    subject.lexical.rebuild()
    assert subject.lexical.view.holding(gone).tolist() == []
    subject.lexical.settle()
    assert subject.lexical.view.holding(gone).tolist() == []
    assert subject.lexical.state.rows == 1
    subject.delete("b")
    subject.lexical.rebuild()
    assert not list(subject.folder.glob("lexical/*"))


def flip(folder: Path, suffix: str) -> None:
    file = next(path for path in folder.glob("lexical/*/*") if path.name.endswith(suffix))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("suffix", [".idx", ".term", ".fast", "meta.json", "manifest.json"])
def test_a_changed_byte_is_noticed_and_made_good(subject: LexicalUnderTest, suffix: str) -> None:
    subject.put("a", "red", "green")
    subject.lexical.settle()
    flip(subject.folder, suffix)
    assert subject.lexical.verify(subject.stored())
    subject.reopen()
    (said,) = subject.lexical.trouble
    assert "lexical index 00000001" in said
    assert subject.found("red") == {"a"}
    assert time.monotonic() < subject.lexical.due_at <= time.monotonic() + 10, "told of before it is made good"
    subject.lexical.settle()
    assert subject.lexical.trouble == []
    subject.reopen()
    assert subject.lexical.trouble == []
    assert subject.lexical.verify(subject.stored()) == []


def test_a_row_that_is_missing_is_noticed(subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    subject.put("a", "red", "green")
    with monkeypatch.context() as patch:
        patch.setattr(subject.lexical, "add", lambda *_: None)
        subject.put("b", "red")
    assert subject.lexical.verify(subject.stored()) == ["1 stored rows are not in the lexical index, as row 3"]


def test_a_row_that_died_while_a_check_waited_is_not_missing(subject: LexicalUnderTest) -> None:
    subject.put("a", "red")
    subject.put("b", "red")
    stored = subject.stored()
    subject.delete("a")
    subject.lexical.rebuild()
    assert subject.lexical.verify(stored) == []


# Files that go while the program runs


@pytest.mark.parametrize("what", ["lexical", "lexical/*", "lexical/*/*.idx", "lexical/*/manifest.json"])
def test_files_that_disappear_cost_no_row(subject: LexicalUnderTest, what: str) -> None:
    for n in range(5):
        subject.put(f"d{n}", "word")
    subject.lexical.settle()
    for path in list(subject.folder.glob(what)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    subject.put("new", "word")
    subject.lexical.step()
    assert subject.found("word") == subject.texts.keys(), "files that are mapped are still read"
    assert "not those that were written" in subject.lexical.trouble[0]
    for step in (subject.lexical.settle, subject.reopen):
        step()
        assert subject.found("word") == subject.texts.keys()
        assert subject.lexical.verify(subject.stored()) == []
        assert subject.lexical.trouble == []


@pytest.mark.usefixtures("small_blocks")
def test_what_is_being_built_is_begun_anew_when_its_files_disappear(subject: LexicalUnderTest) -> None:
    for n in range(30):
        subject.put(f"d{n}", "word")
    subject.reopen()
    subject.lexical.step()
    shutil.rmtree(subject.folder / "lexical")
    with pytest.raises(LexicalError, match="not those that were written"):
        subject.lexical.step()
    assert subject.lexical.absence == "failing"
    subject.lexical.settle()
    assert subject.found("word") == subject.texts.keys()


@pytest.mark.usefixtures("small_blocks")
def test_a_commit_that_memory_cannot_take_does_not_bring_a_removed_folder_back(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the end of a block, which removes the folder before, and the note that there is a new one."""
    for n in range(30):
        subject.put(f"d{n}", "word")
    subject.lexical.settle()
    write = LexicalDisk.write

    def then_too_many(*arguments: Any, **named: Any) -> Written:  # noqa: ANN401
        written = write(*arguments, **named)
        subject.put("many", *["word"] * 25)
        return written

    subject.lexical._start_over()
    subject.lexical.step()
    with monkeypatch.context() as patch:
        patch.setattr(LexicalDisk, "write", then_too_many)
        subject.lexical.step()
    assert subject.lexical.absence == "building"
    assert subject.lexical.verify(subject.stored()) == []
    subject.lexical.settle()
    assert subject.found("word") == subject.texts.keys()


@pytest.mark.usefixtures("small_blocks")
def test_what_is_served_stays_whole_while_it_is_built_anew(subject: LexicalUnderTest) -> None:
    for n in range(30):
        subject.put(f"d{n}", "word")
    subject.lexical.settle()
    subject.lexical._start_over()
    for _ in range(3):
        subject.lexical.step()
        assert subject.lexical.verify(subject.stored()) == []
        subject.lexical.distrust(LexicalError("one query failed"))
        subject.lexical._is_suspect = True
        subject.lexical.step()
        assert subject.found("word") == subject.texts.keys()
        assert subject.lexical.trouble == []
    subject.reopen()  # what there is of the new one is gone on from
    subject.lexical.settle()
    assert subject.found("word") == subject.texts.keys()
    assert len(list(subject.folder.glob("lexical/*"))) == 1


def test_a_folder_that_cannot_be_removed_is_told_by_a_rebuild(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.put("a", "confidential")
    subject.put("b", "public")
    subject.lexical.settle()
    subject.delete("a")
    with monkeypatch.context() as patch:
        patch.setattr("indexes.word_folders.discard", lambda _: None)
        with pytest.raises(LexicalError, match="lexical index 00000001 cannot be removed"):
            subject.lexical.rebuild()
    subject.lexical.rebuild()
    assert subject.found("public") == {"b"}
    assert len(list(subject.folder.glob("lexical/*"))) == 1


def test_few_rows_do_not_take_many_files(subject: LexicalUnderTest) -> None:
    segments = []
    for n in range(20):
        subject.put(f"d{n}", "word")
        subject.lexical.settle()
        while subject.lexical.due_at <= time.monotonic():
            subject.lexical.step()
        segments.append(subject.lexical._written.segments)
    assert max(segments) == lexical_module._FEW_SEGMENTS
    assert subject.found("word") == subject.texts.keys()


@pytest.mark.parametrize("call", ["step", "rebuild"])
def test_whoever_closes_waits_for_one_row_and_not_for_a_block(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for n in range(20):
        subject.put(f"d{n}", "word")
    if call == "rebuild":
        subject.lexical.settle()
    else:
        subject.lexical._building = Written()
    read: list[str] = []

    def closing(text: str) -> list[str]:
        read.append(text)
        if len(read) == 3:
            subject.lexical._closing.set()
        return text.split()

    monkeypatch.setattr(subject.lexical._analyzer, "terms", closing)
    getattr(subject.lexical, call)()
    assert len(read) == 3
    subject.lexical.close()
    monkeypatch.undo()
    subject.reopen()
    assert subject.found("word") == subject.texts.keys()
    assert subject.lexical.trouble == []


def test_a_search_that_failed_makes_it_look_at_every_byte(subject: LexicalUnderTest) -> None:
    subject.put("a", "red")
    subject.lexical.settle()
    subject.lexical.distrust(LexicalError("panicked"))
    assert subject.lexical.trouble == ["lexical index: panicked"]
    subject.lexical.settle()
    assert subject.lexical.trouble == []
    assert subject.found("red") == {"a"}
    subject.reopen()
    flip(subject.folder, ".idx")
    subject.lexical.distrust(LexicalError("panicked"))
    subject.lexical.step()
    assert subject.lexical.absence == "building"
    subject.lexical.settle()
    assert subject.found("red") == {"a"}
    assert subject.lexical.verify(subject.stored()) == []


class PanicException(BaseException):
    """As pyo3 raises it."""


@pytest.mark.parametrize("error", [PanicException("at the disco"), OSError(28, "No space left on device")])
def test_a_failure_costs_no_row_and_is_tried_again_later(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    subject.put("a", "red")
    with monkeypatch.context() as patch:
        patch.setattr(WordEngine, "words", fail)
        with pytest.raises((LexicalError, PanicException)):
            subject.lexical.settle()
        subject.put("b", "red")
        if isinstance(error, OSError):
            assert subject.lexical.due_at > time.monotonic() + 10, "not at once"
            assert "No space left" in subject.lexical.trouble[0]
        assert subject.found("red") == {"a", "b"}
    subject.lexical.settle()
    assert subject.lexical.trouble == []
    subject.reopen()
    assert subject.found("red") == {"a", "b"}


def test_memory_that_runs_out_costs_no_write_and_no_row(
    subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    subject.put("a", "red")
    with monkeypatch.context() as patch:
        patch.setattr("indexes.lexical.NewestRows.extend", fail)
        subject.put("b", "red")
    assert subject.lexical.absence == "building"
    assert subject.lexical.trouble == ["lexical index: MemoryError"]
    subject.lexical.settle()
    assert subject.found("red") == {"a", "b"}
    assert subject.lexical.trouble == []


@pytest.mark.usefixtures("small_blocks")
def test_a_build_that_fails_says_so(subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(25):
        subject.put(f"d{n}", "word")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(LexicalError, match="No space"):
            subject.lexical.step()
        assert subject.lexical.absence == "failing"
    subject.lexical.settle()
    assert subject.lexical.absence is None
    assert len(subject.found("word")) == 25


def test_a_text_that_tantivy_fails_at_has_no_words(subject: LexicalUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> Sequence[str]:
        raise PanicException("regex")

    monkeypatch.setattr(subject.lexical._analyzer._terms, "_of", fail)
    subject.put("a", "red")
    monkeypatch.undo()
    assert subject.found("red") == set()
    assert subject.lexical.state.rows == 1


def test_words_of_another_analysis_are_built_anew_and_are_no_damage(subject: LexicalUnderTest) -> None:
    subject.put("a", "running cats")
    subject.lexical.settle()
    subject.lexical.close()
    english = LexicalIndex(subject.store, subject.folder / "lexical", "en")
    assert english.view.best(english.words("cat runs"), 10)[0].tolist() == [1]
    assert english.trouble == []
    english.settle()
    assert english.verify(subject.stored()) == []


def test_after_it_is_closed_nothing_is_written(subject: LexicalUnderTest) -> None:
    subject.put("a", "red")
    subject.lexical.close()
    subject.lexical.step()
    assert not (subject.folder / "lexical").exists()
    assert subject.lexical.due_at == float("inf")
