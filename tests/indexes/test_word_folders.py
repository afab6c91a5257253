"""A folder of a lexical index is whole or not there, and a changed byte is noticed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from indexes import word_folders
from indexes.errors import LexicalError, LostWordsError
from indexes.lexical_disk import LexicalDisk, Written
from indexes.word_engine import WordEngine

IDENTITY = "unicode/1"


def disk(folder: Path, version: int = 5, identity: str = IDENTITY) -> LexicalDisk:
    return LexicalDisk(folder / "lexical", identity, lambda: version)


def entries(first: int, count: int) -> list[tuple[int, int, str]]:
    return [(row, 2, f"common w{row}") for row in range(first, first + count)]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    made = disk(tmp_path)
    return made.write(made.write(Written(), entries(1, 30)), entries(31, 20))


def rows(opened: Written) -> int:
    return opened.words.corpus.rows if opened.words else 0


def test_what_was_written_is_opened_again_and_nothing_else_is_left(written: Written, tmp_path: Path) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    assert again.damage == []
    assert again.bytes > 0
    assert (opened.path, opened.last_row, rows(opened)) == (written.path, 50, 50)
    assert [path.name for path in (tmp_path / "lexical").iterdir()] == ["00000002"]
    assert again.problems(opened) == []
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_byte_in_any_file_is_noticed(written: Written, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201
    rng = np.random.default_rng(seed)
    assert written.path is not None
    files = [path for path in written.path.iterdir() if path.stat().st_size]
    assert len(files) > 10
    for file in files:
        kept = file.read_bytes()
        changed = bytearray(kept)
        changed[int(rng.integers(len(kept)))] ^= int(rng.integers(1, 256))
        file.unlink()  # tantivy maps the file that was there
        file.write_bytes(changed)
        assert disk(tmp_path).problems(written), file.name
        file.unlink()
        file.write_bytes(kept)
    assert disk(tmp_path).problems(written) == []


@pytest.mark.parametrize("change", ["cut", "grown", "gone", "foreign", "link"])
def test_so_is_any_other_change(written: Written, tmp_path: Path, change: str) -> None:
    assert written.path is not None
    file = next(path for path in written.path.iterdir() if path.suffix == ".idx")
    content = file.read_bytes()
    if change == "foreign":
        (file.parent / "other.idx").write_bytes(content)
    else:
        file.unlink()
    if change == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    if change in {"cut", "grown"}:
        file.write_bytes(content[:-1] if change == "cut" else content + b"x")
    again = disk(tmp_path)
    assert rows(again.opened()) == 0
    (said,) = again.damage
    assert "lexical index 00000002" in said
    assert list((tmp_path / "lexical").iterdir()) == [], "it is of no use"


def test_what_is_of_a_later_version_is_not_opened(written: Written, tmp_path: Path) -> None:
    again = disk(tmp_path, version=4)
    assert rows(again.opened()) == 0
    assert len(again.damage) == 1


def test_what_an_older_program_wrote_is_not_opened_and_is_no_damage(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "lexical", tmp_path / "kept")
    again = disk(tmp_path, identity="unicode/2")
    assert (rows(again.opened()), again.damage) == (0, [])
    assert list((tmp_path / "lexical").iterdir()) == []
    (tmp_path / "lexical").rmdir()
    (tmp_path / "kept").rename(tmp_path / "lexical")
    monkeypatch.setattr(word_folders, "_FORMAT", 2)
    again = disk(tmp_path)
    assert (rows(again.opened()), again.damage) == (0, [])


def test_the_one_that_was_served_is_opened_where_the_newer_one_is_damaged(tmp_path: Path) -> None:
    made = disk(tmp_path)
    served = made.write(Written(), entries(1, 30))
    building = made.write(Written(), entries(1, 10), served)
    assert sorted(path.name for path in (tmp_path / "lexical").iterdir()) == ["00000001", "00000002"]
    assert made.problems(served) == made.problems(building) == []
    assert building.path is not None
    next(building.path.glob("*.term")).unlink()
    again = disk(tmp_path)
    assert rows(again.opened()) == 30
    (said,) = again.damage
    assert "lexical index 00000002" in said


# A folder that is gone on from


def test_no_number_is_given_twice(written: Written, tmp_path: Path) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    shutil.rmtree(tmp_path / "lexical")
    for _ in range(2):
        with pytest.raises(LostWordsError, match="lexical index 00000002: its files are not those that were written"):
            again.write(opened, entries(51, 5))
    after = again.write(Written(), entries(1, 5))
    assert after.path is not None
    assert int(after.path.name) > 4
    assert rows(disk(tmp_path).opened()) == 5


@pytest.mark.parametrize("change", ["foreign", "gone", "manifest"])
def test_nothing_goes_on_from_other_files(written: Written, tmp_path: Path, change: str) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    assert opened.path is not None
    if change == "foreign":
        (opened.path / "other.idx").write_bytes(b"x")
    else:
        (opened.path / "manifest.json" if change == "manifest" else next(opened.path.glob("*.pos"))).unlink()
    with pytest.raises(LostWordsError):
        again.write(opened, entries(51, 5))


def test_rows_that_do_not_add_up_are_not_served(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    add = WordEngine.add
    with monkeypatch.context() as patch:
        patch.setattr(WordEngine, "add", lambda engine, rows: add(engine, list(rows)[1:]))
        with pytest.raises(LostWordsError, match="it has 54 rows, not 50 and 5 new ones"):
            again.write(opened, entries(51, 5))
    assert rows(again.write(opened, entries(51, 5))) == 55


def test_what_is_still_there_is_refused(written: Written, tmp_path: Path) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    again.refuse_others(opened)
    (tmp_path / "lexical" / "00000009").mkdir()
    with pytest.raises(LexicalError, match="lexical index 00000009 cannot be removed"):
        again.refuse_others(opened)


def test_a_folder_that_was_not_finished_is_swept_and_is_no_damage(written: Written, tmp_path: Path) -> None:
    assert written.path is not None
    for name in ("00000001", "00000003"):
        shutil.copytree(written.path, tmp_path / "lexical" / name)
        (tmp_path / "lexical" / name / "manifest.json").unlink()
    again = disk(tmp_path)
    assert rows(again.opened()) == 50
    assert again.damage == []
    assert [path.name for path in (tmp_path / "lexical").iterdir()] == ["00000002"]


def test_a_file_system_without_links_gets_copies(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    again = disk(tmp_path)
    assert rows(again.write(again.opened(), entries(51, 5))) == 55
    assert rows(disk(tmp_path).opened()) == 55


def test_a_folder_that_cannot_be_listed_is_damage(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(13, "Permission denied")

    again = disk(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("indexes.word_folders.os.listdir", refuse)
        assert rows(again.opened()) == 0
    assert "Permission denied" in again.damage[0]


@pytest.mark.parametrize("call", ["mkdir", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    again = disk(tmp_path)
    opened = again.opened()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(LexicalError, match="No space left"):
            again.write(opened, entries(51, 5))
    assert [path.name for path in (tmp_path / "lexical").iterdir()] == ["00000002"]
    assert rows(again.write(opened, entries(51, 5))) == 55
    assert rows(disk(tmp_path).opened()) == 55


def test_files_that_are_not_rewritten_are_not_read_again(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = disk(tmp_path)
    opened = again.opened()
    assert opened.path is not None
    kept = set(os.listdir(opened.path))
    read: list[str] = []
    original = word_folders.Checksum.of_file
    monkeypatch.setattr(word_folders.Checksum, "of_file", lambda path: read.append(path.name) or original(path))
    after = again.write(opened, entries(51, 5))
    assert after.path is not None
    kept &= set(os.listdir(after.path))
    assert {Path(name).suffix for name in kept} >= {".idx", ".term", ".fast"}
    assert not {name for name in kept if Path(name).suffix in {".idx", ".term", ".fast"}} & set(read)
    assert "meta.json" in read
