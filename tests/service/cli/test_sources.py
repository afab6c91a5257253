"""What lies under the paths given to quarry ingest."""

from pathlib import Path

import pytest

from service.cli import sources
from service.cli.sources import BatchSource, FileSource, SameIdError, find


def write(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("b.md", "a.txt", "sub/é c.HTML", "sub/deep/a.txt", ".hidden.md", ".git/x.md", "photo.png", "Makefile"):
        write(root / name)
    write(root / "lines.jsonl", b'{"id": 1}\n\n  \n{"id": 2}')
    return root


def test_a_folder(folder: Path) -> None:
    found = find([folder])
    assert [file.id for file in found.files] == ["a.txt", "b.md", "sub/deep/a.txt", "sub/é c.HTML"]
    assert [file.path for file in found.files] == [folder / file.id for file in found.files]
    assert list(found.jsonl) == [folder / "lines.jsonl"]
    assert sorted(path.name for path in found.passed_over) == ["Makefile", "photo.png"]
    assert found.documents() == 4 + 2


def test_links_out_of_a_folder_are_passed_over(folder: Path, tmp_path: Path) -> None:
    (folder / "out.txt").symlink_to(write(tmp_path / "elsewhere.txt"))
    (folder / "within.txt").symlink_to(folder / "a.txt")
    found = find([folder])
    assert "within.txt" in [file.id for file in found.files]
    assert "out.txt" not in [file.id for file in found.files]
    assert folder / "out.txt" in found.passed_over
    assert [file.id for file in find([folder / "out.txt"]).files] == ["out.txt"], "named itself"


def test_a_file_that_is_named_is_always_taken(folder: Path) -> None:
    found = find([folder / "photo.png", folder / ".hidden.md", folder / "sub" / "deep" / "a.txt"])
    assert [file.id for file in found.files] == ["photo.png", ".hidden.md", "a.txt"]
    assert found.passed_over == []


def test_a_hidden_folder_that_is_named_is_read(folder: Path) -> None:
    assert [file.id for file in find([folder / ".git"]).files] == ["x.md"]


def test_a_path_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.md"):
        find([folder, folder / "none.md"])


def test_lines_keep_their_numbers(folder: Path) -> None:
    (batch,) = [source for source in find([folder]) if isinstance(source, BatchSource)]
    assert [(line.number, line.data) for line in batch.lines] == [(1, b'{"id": 1}'), (4, b'{"id": 2}')]
    assert batch.documents == 2


def test_files_come_before_lines(folder: Path) -> None:
    assert [type(source) for source in find([folder])] == [FileSource] * 4 + [BatchSource]


def test_batches_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "many.ndjson", b"{}\n" * 130)
    assert [source.documents for source in find([path])] == [64, 64, 2]
    assert [line.number for source in find([path]) for line in source.lines] == list(range(1, 131))


def test_batches_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_BATCH_BYTES", 10)
    path = write(tmp_path / "large.jsonl", b"\n".join([b"1234", b"1234", b"1234", b"x" * 50, b"1"]))
    assert [[len(line.data) for line in source.lines] for source in find([path])] == [[4, 4], [4], [50], [1]]


def test_an_empty_file_has_no_batch(tmp_path: Path) -> None:
    assert list(find([write(tmp_path / "none.jsonl", b"\n\n")])) == []


def test_two_files_that_would_be_one_document_are_refused(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "readme.txt").write_text(folder)
    with pytest.raises(SameIdError, match=r"first/readme\.txt and .*second/readme\.txt would both be .*'readme\.txt'"):
        find([tmp_path / "first", tmp_path / "second"])
    assert [file.id for file in find([tmp_path]).files] == ["first/readme.txt", "second/readme.txt"]
