"""A power cut keeps what was synced and nothing that was not, or by chance some of it."""

from pathlib import Path

import numpy as np
import pytest

from faults.disk import Disk, UnknownCallError
from faults.trace import Call, Descriptor

ROOT = Path("/data")
HERE = Descriptor("AT_FDCWD", "/somewhere")


class Played:
    """A disk, and calls on it in few words; every call a thread of its own, so that any may overlap."""

    def __init__(self) -> None:
        self.disk = Disk(ROOT)
        self._lines = 0
        self._numbers: dict[str, str] = {}

    def call(self, name: str, *arguments: bytes | Descriptor | str, result: int = 0) -> Call:
        self._lines += 1
        return Call(self._lines, name, arguments, result, self._lines, self._lines)

    def do(self, name: str, *arguments: bytes | Descriptor | str, result: int = 0) -> None:
        call = self.call(name, *arguments, result=result)
        self.disk.begin(call)
        self.disk.end(call)

    def open(self, path: str, flags: str = "O_RDWR|O_CREAT") -> None:
        number = str(len(self._numbers) + 3)
        self._numbers[path] = number
        self.do("openat", HERE, f"/data{path}".encode(), flags, "0644", result=int(number))

    def file(self, path: str) -> Descriptor:
        return Descriptor(self._numbers[path], f"/data{path}")

    def write(self, path: str, data: bytes, offset: int | None = None) -> None:
        if offset is None:
            self.do("write", self.file(path), data, str(len(data)), result=len(data))
        else:
            self.do("pwrite64", self.file(path), data, str(len(data)), str(offset), result=len(data))

    def sync(self, path: str) -> None:
        self.do("fsync", self.file(path))

    def sync_folder(self, path: str = "") -> None:
        self.do("fsync", Descriptor("99", f"/data{path}"))

    def left(self, tmp_path: Path, seed: int | None = None) -> dict[str, bytes]:
        image = tmp_path / f"image-{len(list(tmp_path.iterdir()))}"
        self.disk.write_to(image, None if seed is None else np.random.default_rng(seed))
        return {str(p.relative_to(image)): p.read_bytes() for p in image.rglob("*") if p.is_file()}

    def possible(self, tmp_path: Path) -> list[dict[str, bytes]]:
        return [self.left(tmp_path, seed) for seed in range(60)]


@pytest.fixture
def played() -> Played:
    """With a file ``a`` whose name is on the disk."""
    played = Played()
    played.open("/a")
    played.sync_folder()
    return played


def test_what_was_written_after_the_last_sync_is_gone(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"one")
    played.sync("/a")
    played.write("/a", b"two")
    assert played.left(tmp_path) == {"a": b"one"}


def test_a_sync_does_not_keep_what_was_written_while_it_ran(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"one")
    sync = played.call("fdatasync", played.file("/a"))
    played.disk.begin(sync)
    played.write("/a", b"two")
    assert played.left(tmp_path) == {"a": b""}, "a sync that did not end has promised nothing"
    played.disk.end(sync)
    assert played.left(tmp_path) == {"a": b"one"}


def test_two_syncs_at_once_keep_what_each_was_to_keep(played: Played, tmp_path: Path) -> None:
    syncs = []
    for data in (b"one", b"two"):
        played.write("/a", data)
        syncs.append(played.call("fsync", played.file("/a")))
        played.disk.begin(syncs[-1])
    played.write("/a", b"end")
    played.disk.end(syncs[1])
    assert played.left(tmp_path) == {"a": b"onetwo"}
    played.disk.end(syncs[0])
    assert played.left(tmp_path) == {"a": b"onetwo"}


def test_a_sync_that_failed_keeps_nothing(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"one")
    played.do("fsync", played.file("/a"), result=-1)
    assert played.left(tmp_path) == {"a": b""}


def test_a_name_is_kept_by_a_sync_of_its_folder_alone(played: Played, tmp_path: Path) -> None:
    played.open("/b")
    played.write("/b", b"one")
    played.sync("/b")
    assert played.left(tmp_path) == {"a": b""}
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b"", "b": b"one"}


def test_a_folder_whose_name_was_not_synced_is_gone_with_all_that_is_in_it(played: Played, tmp_path: Path) -> None:
    played.do("mkdir", b"/data/f", "0777")
    played.open("/f/b")
    played.sync("/f/b")
    played.sync_folder("/f")
    assert played.left(tmp_path) == {"a": b""}
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b"", "f/b": b""}


def test_a_rename_replaces_when_the_folder_is_synced(played: Played, tmp_path: Path) -> None:
    played.open("/b")
    played.write("/b", b"new")
    played.sync("/b")
    played.sync_folder()
    played.do("rename", b"/data/b", b"/data/a")
    assert played.left(tmp_path) == {"a": b"", "b": b"new"}
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b"new"}


def test_a_link_is_another_name_of_the_same_file(played: Played, tmp_path: Path) -> None:
    played.do("link", b"/data/a", b"/data/b")
    played.write("/a", b"one")
    played.sync("/a")
    assert played.left(tmp_path) == {"a": b"one"}
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b"one", "b": b"one"}


def test_a_removed_file_is_back_until_the_folder_is_synced(played: Played, tmp_path: Path) -> None:
    played.do("unlinkat", Descriptor("9", "/data"), b"a", "0")
    assert played.left(tmp_path) == {"a": b""}
    played.sync_folder()
    assert played.left(tmp_path) == {}


def test_writes_go_where_they_were_made(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"0123")
    played.write("/a", b"X", offset=1)
    played.write("/a", b"45")
    played.do("lseek", played.file("/a"), "3", "SEEK_SET", result=3)
    played.write("/a", b"Y")
    played.write("/a", b"Z", offset=8)
    played.sync("/a")
    assert played.left(tmp_path) == {"a": b"0X2Y45\0\0Z"}


def test_appends_go_to_the_end(tmp_path: Path) -> None:
    played = Played()
    played.open("/a", "O_WRONLY|O_CREAT|O_APPEND")
    played.write("/a", b"one")
    played.do("lseek", played.file("/a"), "0", "SEEK_SET", result=0)
    played.write("/a", b"two")
    played.sync("/a")
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b"onetwo"}


def test_truncation_waits_for_the_sync_too(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"0123")
    played.sync("/a")
    played.do("ftruncate", played.file("/a"), "2")
    assert played.left(tmp_path) == {"a": b"0123"}
    played.open("/a", "O_WRONLY|O_CREAT|O_TRUNC")
    played.write("/a", b"4")
    played.sync("/a")
    assert played.left(tmp_path) == {"a": b"4"}


def test_a_write_that_was_shortened_counts_as_far_as_it_went(played: Played, tmp_path: Path) -> None:
    played.do("write", played.file("/a"), b"0123", "4", result=2)
    played.sync("/a")
    assert played.left(tmp_path) == {"a": b"01"}


def test_by_chance_any_part_of_what_was_not_synced_is_left(played: Played, tmp_path: Path) -> None:
    played.write("/a", b"S")
    played.sync("/a")
    played.write("/a", b"1" * 3 + b"2" * 4096, offset=4093)
    played.open("/b")
    contents = {left["a"] for left in played.possible(tmp_path)}
    hole = b"S".ljust(4093, b"\0")
    assert contents == {b"S", hole + b"111", hole + b"\0\0\0" + b"2" * 4096, hole + b"111" + b"2" * 4096}
    assert {"b" in left for left in played.possible(tmp_path)} == {False, True}


def test_memory_and_files_elsewhere_are_not_followed(played: Played, tmp_path: Path) -> None:
    played.do("openat", HERE, b"/data/x.db-shm", "O_RDWR|O_CREAT", "0644", result=9)
    played.do("pwrite64", Descriptor("9", "/data/x.db-shm"), b"x", "1", "4095", result=1)
    played.do("unlink", b"/data/x.db-shm")
    played.do("write", Descriptor("1", "pipe:[5]"), b"x", "1", result=1)
    played.do("rename", b"/database/a", b"/database/b")
    played.do("fsync", Descriptor("8", None))
    played.sync_folder()
    assert played.left(tmp_path) == {"a": b""}


def test_a_call_that_is_not_known_is_an_error(played: Played) -> None:
    with pytest.raises(UnknownCallError, match="fallocate"):
        played.do("fallocate", played.file("/a"), "0", "0", "4096")
    with pytest.raises(UnknownCallError, match="descriptor"):
        played.do("write", Descriptor("77", "/data/a"), b"x", "1", result=1)
