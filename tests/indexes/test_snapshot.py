import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes.errors import SnapshotError
from indexes.snapshot import Loaded, Snapshots

OLD = {"index.faiss": b"the old index", "rows": b"\x00\x01\x02\x03"}
NEW = {"index.faiss": b"the newer index", "rows": b"\x04\x05\x06\x07\x08"}
STEPS = ("open", "mkdir", "fsync", "replace", "rename", "unlink", "rmdir")


class Crash(BaseException):
    """The process is gone: nothing after it is done either."""


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power, and thousands of real fsyncs take their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def snapshots(folder: Path) -> Snapshots:
    return Snapshots(folder)


def loaded(snapshots: Snapshots) -> tuple[Loaded | None, list[str]]:
    problems: list[str] = []
    return snapshots.load(problems.append), problems


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


@contextmanager
def failing(nth: int, error: BaseException, *, for_good: bool) -> Iterator[Callable[[], bool]]:
    """The ``nth`` call of a function of ``os`` that changes the disk raises, and with ``for_good`` all later ones."""
    calls = 0

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever os takes
            nonlocal calls
            calls += 1
            if calls == nth or (for_good and calls > nth):
                raise error
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for step in STEPS:
            patch.setattr(os, step, wrapped(getattr(os, step)))
        yield lambda: calls >= nth


def test_what_was_written_is_loaded(snapshots: Snapshots, folder: Path) -> None:
    facts = {"rows": 3, "params": {"nlist": 4, "rotated": False}, "curve": [[1, 0.5], [2, 0.75]], "none": None}
    name = snapshots.write({"vectors": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": b""}, facts)
    snapshot, problems = loaded(snapshots)
    assert snapshot == Loaded(name, facts, {"vectors": np.arange(6, dtype=np.float32).tobytes(), "empty": b""})
    assert problems == snapshots.verify() == []
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / name)} == {0o700}


def test_a_folder_that_does_not_exist_or_is_empty_holds_nothing(snapshots: Snapshots, folder: Path) -> None:
    assert loaded(snapshots) == (None, [])
    snapshots.remove_all()
    snapshots.remove_older()
    folder.mkdir()
    assert loaded(snapshots) == (None, [])
    assert snapshots.verify() == []


def test_two_are_kept_and_leftovers_of_a_crash_are_removed(snapshots: Snapshots, folder: Path) -> None:
    names = [snapshots.write({"n": bytes([n])}, {"n": n}) for n in range(4)]
    assert names == sorted(names)
    assert sorted(os.listdir(folder)) == [*names[2:], "CURRENT"]
    (folder / ".writing").mkdir()
    (folder / ".writing" / "half").write_bytes(b"x")
    (folder / ".removing-x").mkdir()
    (folder / ".CURRENT").write_bytes(b"x")
    (folder / "of-somebody-else").write_bytes(b"x")
    last = snapshots.write({"n": b"last"}, {})
    assert sorted(os.listdir(folder)) == [names[3], last, "CURRENT", "of-somebody-else"]


def test_the_same_content_can_be_written_twice(snapshots: Snapshots) -> None:
    first, second = snapshots.write(OLD, {}), snapshots.write(OLD, {})
    assert first < second
    snapshot, problems = loaded(snapshots)
    assert snapshot is not None
    assert (snapshot.name, problems) == (second, [])


def test_another_object_finds_what_the_first_wrote(snapshots: Snapshots, folder: Path) -> None:
    snapshots.write(OLD, {"n": 1})
    name = Snapshots(folder).write(NEW, {"n": 2})
    assert loaded(snapshots)[0] == Loaded(name, {"n": 2}, NEW)


def test_every_flipped_byte_is_noticed_and_never_handed_out(snapshots: Snapshots, folder: Path) -> None:
    old = Loaded(snapshots.write(OLD, {"n": 1}), {"n": 1}, OLD)
    new = Loaded(snapshots.write(NEW, {"n": 2}), {"n": 2}, NEW)
    tried = 0
    for path in files_of(folder):
        # CURRENT only says which one counts: without it the newest that verifies is taken.
        expected = old if new.name in path.parts else new
        intact = path.read_bytes()
        for position in range(len(intact)):
            for flip in (0x01, 0x20, 0xFF):
                path.write_bytes(intact[:position] + bytes([intact[position] ^ flip]) + intact[position + 1 :])
                snapshot, problems = loaded(snapshots)
                assert snapshot == expected, (path, position, flip)
                if old.name not in path.parts:
                    assert problems, (path, position, flip)
                assert snapshots.verify(), (path, position, flip)
                tried += 1
        path.write_bytes(intact)
    assert tried > 3 * 400
    assert loaded(snapshots) == (new, [])


def test_with_both_damaged_there_is_nothing_and_both_are_named(snapshots: Snapshots, folder: Path) -> None:
    names = [snapshots.write(OLD, {}), snapshots.write(NEW, {})]
    for name in names:
        (folder / name / "rows").write_bytes(b"\x00\x01\x02\x04"[: 4 + (name == names[1])])
    snapshot, problems = loaded(snapshots)
    assert snapshot is None
    assert [name in problem and "rows" in problem for name, problem in zip(names[::-1], problems, strict=True)] == [
        True,
        True,
    ]
    assert snapshots.verify() == problems


@pytest.mark.parametrize("file", ["index.faiss", "rows", "manifest.json", "CURRENT"])
@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "missing", "a folder"])
def test_a_file_of_another_length_or_kind_is_noticed(
    snapshots: Snapshots, folder: Path, file: str, change: str
) -> None:
    old = Loaded(snapshots.write(OLD, {}), {}, OLD)
    new = Loaded(snapshots.write(NEW, {}), {}, NEW)
    path = folder / "CURRENT" if file == "CURRENT" else folder / new.name / file
    intact = path.read_bytes()
    path.unlink()
    match change:
        case "shorter":
            path.write_bytes(intact[:-1])
        case "longer":
            path.write_bytes(intact + b"\n")
        case "empty":
            path.write_bytes(b"")
        case "a folder":
            path.mkdir()
    snapshot, problems = loaded(snapshots)
    assert snapshot == (new if file == "CURRENT" else old)
    assert len(problems) == 1
    assert file in problems[0]
    assert snapshots.verify() == problems


def test_a_file_that_does_not_belong_is_reported_and_not_loaded(snapshots: Snapshots, folder: Path) -> None:
    name = snapshots.write(OLD, {})
    (folder / name / "more").write_bytes(b"x")
    snapshot, problems = loaded(snapshots)
    assert snapshot == Loaded(name, {}, OLD)
    assert problems == [f"snapshot {name}: 'more' does not belong to it and is ignored"]


def test_a_snapshot_that_is_gone_is_reported(snapshots: Snapshots, folder: Path) -> None:
    old, new = snapshots.write(OLD, {}), snapshots.write(NEW, {})
    (folder / new).rename(folder.parent / "elsewhere")
    snapshot, problems = loaded(snapshots)
    assert snapshot == Loaded(old, {}, OLD)
    assert problems == [f"CURRENT names {new}, which is not there"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_disk_that_cannot_be_read_is_a_problem_and_not_an_absence(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    snapshots.write(OLD, {})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    snapshot, problems = loaded(snapshots)
    assert snapshot is None
    assert [os.strerror(number) in problem for problem in problems] == [True, True]
    monkeypatch.setattr(os, "listdir", refuse)
    assert os.strerror(number) in loaded(snapshots)[1][0]


def test_a_manifest_of_another_format_is_reported(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexes.snapshot._FORMAT", 99)
    name = snapshots.write(OLD, {})
    monkeypatch.undo()
    assert loaded(snapshots) == (None, [f"snapshot {name}: has format 99; this program knows 1"])


@pytest.mark.parametrize("name", ["", "manifest.json", "../up", "a/b", ".hidden", "a\n", "a\x00", "x" * 101])
def test_a_bad_file_name_is_refused_before_anything_is_written(snapshots: Snapshots, folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        snapshots.write({name: b""}, {})
    assert not folder.exists()


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, before: int) -> None:
    """Seen with the eyes of the process that comes next; its own write then succeeds and sweeps up."""
    seen: set[int | None] = set()
    nth, ended = 0, False
    while not ended:
        nth += 1
        folder = tmp_path / str(nth)
        for n in range(before):
            Snapshots(folder).write(OLD, {"n": n})
        with failing(nth, Crash(), for_good=True) as reached, suppress(Crash):
            Snapshots(folder).write(NEW, {"n": before})
        ended = not reached()
        snapshot, problems = loaded(Snapshots(folder))
        if snapshot is None:
            assert before == 0
            assert problems == []
        else:
            n = snapshot.facts["n"]
            assert n in {before - 1, before}
            assert snapshot.files == (NEW if n == before else OLD)
            assert all("CURRENT is missing" in problem for problem in problems)
            assert not problems or before == 0
        seen.add(None if snapshot is None else int(str(snapshot.facts["n"])))
        last = Snapshots(folder).write({"f": b"after"}, {})
        assert last in os.listdir(folder)
        assert len(os.listdir(folder)) <= 3
        assert Snapshots(folder).verify() == []
    assert seen == {before - 1 if before else None, before}
    assert nth > 12


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("before", [0, 2])
def test_a_disk_that_refuses_is_a_typed_error_and_leaves_no_trace(tmp_path: Path, before: int, number: int) -> None:
    nth, failed, in_place = 0, 0, 0
    while True:
        nth += 1
        folder = tmp_path / str(nth)
        for n in range(before):
            Snapshots(folder).write(OLD, {"n": n})
        was = tree(folder)
        with failing(nth, OSError(number, os.strerror(number)), for_good=False) as reached:
            try:
                name = Snapshots(folder).write(NEW, {"n": before})
            except SnapshotError as error:
                assert os.strerror(number) in str(error)
                name = None
                failed += 1
        if name is None and tree(folder) != was:
            snapshot, problems = loaded(Snapshots(folder))  # only bringing CURRENT's new name to the disk has failed
            assert snapshot is not None
            assert (snapshot.files, problems) == (NEW, [])
            in_place += 1
        if not reached():
            break
    assert failed >= 12
    assert in_place == 2


def test_files_are_on_the_disk_before_a_name_leads_to_them(
    snapshots: Snapshots, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = snapshots.write(OLD, {})
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).relative_to(folder.parent)}")

    def replaced(source: Path, target: Path) -> None:
        replace(source, target)
        events.append(f"move {source.name} {target.name}")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    name = snapshots.write(NEW, {})
    assert sorted(events[:3]) == [
        f"sync snapshots/.writing/{file}" for file in ("index.faiss", "manifest.json", "rows")
    ]
    assert events[3:] == [
        "sync snapshots/.writing",
        f"move .writing {name}",
        "sync snapshots",
        "sync snapshots/.CURRENT",
        "move .CURRENT CURRENT",
        "sync snapshots",
    ]


def test_older_ones_and_all_of_them_can_be_removed(snapshots: Snapshots, folder: Path) -> None:
    snapshots.write(OLD, {})
    new = snapshots.write(NEW, {})
    (folder / ".writing").mkdir()
    snapshots.remove_older()
    assert sorted(os.listdir(folder)) == [new, "CURRENT"]
    assert loaded(snapshots) == (Loaded(new, {}, NEW), [])
    snapshots.remove_all()
    assert os.listdir(folder) == []
    assert loaded(snapshots) == (None, [])
    assert snapshots.write(OLD, {})


def test_a_removal_that_fails_or_is_cut_short_says_so_and_can_be_repeated(snapshots: Snapshots, folder: Path) -> None:
    nth, ended = 0, False
    while not ended:
        nth += 1
        for n in range(2):
            snapshots.write(OLD, {"n": n})
        with failing(nth, OSError(errno.EIO, "I/O error"), for_good=True) as reached:
            if nth < 9:
                with pytest.raises(SnapshotError, match="I/O error"):
                    snapshots.remove_all()
            else:
                with suppress(SnapshotError):
                    snapshots.remove_all()
        ended = not reached()
        assert all("missing" in problem for problem in snapshots.verify()), "what is half removed is no damage"
        snapshots.remove_all()
        assert os.listdir(folder) == []


def test_loads_beside_writes_see_whole_snapshots(snapshots: Snapshots) -> None:
    snapshots.write({"n": b"0" * 1000}, {"n": 0})

    def write_all() -> None:
        for n in range(1, 40):
            snapshots.write({"n": str(n % 10).encode() * 1000}, {"n": n})

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write_all)
        numbers = []
        while not writing.done():
            snapshot, problems = loaded(snapshots)
            assert snapshot is not None
            assert problems == []
            n = int(str(snapshot.facts["n"]))
            assert snapshot.files == {"n": str(n % 10).encode() * 1000}
            numbers.append(n)
        writing.result()
    assert numbers == sorted(numbers)


def test_the_newest_is_one_that_was_not_found_damaged(snapshots: Snapshots, folder: Path) -> None:
    names = [snapshots.write(OLD, {}), snapshots.write(NEW, {})]
    (folder / names[1] / "rows").write_bytes(b"\x00")
    assert snapshots.newest() is not None
    assert snapshots.load() is not None
    assert (found := snapshots.newest()) is not None
    assert found[0] == names[0]
    (folder / names[0] / "rows").write_bytes(b"\x00")
    snapshots.verify()
    assert snapshots.newest() is None
    written = snapshots.write(NEW, {})
    assert (found := snapshots.newest()) is not None
    assert found[0] == written
