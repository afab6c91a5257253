"""Where a backup may go and may be restored to, and that the way there survives a power cut."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from indexes.backup import back_up, verify_backup
from indexes.catalog import Catalog
from indexes.data_directory import owned
from indexes.durable import Checksum
from indexes.errors import BackupConflictError, BackupError, DataDirectoryError, DataDirectoryInUseError
from indexes.restore import restore
from indexes.spec import CollectionSpec


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog], put: Callable[..., str], spec: CollectionSpec) -> Catalog:
    catalog = open_catalog()
    put(catalog.ensure("docs", spec)[0], "a", ["x"], np.ones((1, spec.dimension), dtype=np.float32))
    return catalog


@pytest.fixture
def made(catalog: Catalog, tmp_path: Path) -> Path:
    back_up(catalog, tmp_path / "made")
    catalog.close()
    return tmp_path / "made"


@contextmanager
def recorded() -> Iterator[list[tuple[str, Path]]]:
    """("mkdir", path) and ("fsync", path) in the order they were done."""
    done: list[tuple[str, Path]] = []
    mkdir, fsync = os.mkdir, os.fsync

    def making(path: str | Path, mode: int = 0o777) -> None:
        mkdir(path, mode)
        done.append(("mkdir", Path(path).absolute()))

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", making)
        patch.setattr(os, "fsync", syncing)
        yield done


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Below ``folder`` nothing can be made, as on a medium that is mounted read-only; even root is refused then."""

    def refusing(function: Callable[..., object], writing: int) -> Callable[..., object]:
        def call(path: object, *args: int, **kwargs: object) -> object:
            is_writing = not writing or bool(args and args[0] & writing)
            if is_writing and isinstance(path, str | Path) and Path(path).absolute().is_relative_to(folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return function(path, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", refusing(os.mkdir, 0))
        patch.setattr(os, "open", refusing(os.open, os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        yield


def unsynced(done: list[tuple[str, Path]]) -> list[Path]:
    """Folders that are there and whose name a power cut could take: nobody synced the parent after they were made."""
    return [
        path
        for number, (call, path) in enumerate(done)
        if call == "mkdir" and path.is_dir() and ("fsync", path.parent) not in done[number:]
    ]


def test_the_name_of_every_folder_on_the_way_is_brought_to_the_disk(catalog: Catalog, tmp_path: Path) -> None:
    folder, target = tmp_path / "far" / "away" / "one", tmp_path / "new" / "place" / "data"
    with recorded() as done:
        back_up(catalog, folder)
        restore(folder, target)
    made = {path for call, path in done if call == "mkdir"}
    assert made >= {folder.parent, folder.parent.parent, target, target.parent, target.parent.parent}
    assert unsynced(done) == []


@pytest.mark.parametrize("below", ["", "x", "collections/x", "backups", "elsewhere/../x", "backups/../x"])
def test_a_backup_among_the_data_is_refused(catalog: Catalog, tmp_path: Path, below: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "link").symlink_to(catalog.data_dir)
    for folder in (catalog.data_dir / below, tmp_path / "link" / below):
        with pytest.raises(
            BackupError, match=r"is inside the data directory .*/data; a backup goes .* below .*/backups"
        ):
            back_up(catalog, folder)
    (tmp_path / "link").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_below_backups_and_beside_the_data_there_is_room(catalog: Catalog) -> None:
    for folder in (catalog.data_dir / "backups" / "one", catalog.data_dir.with_name("data-backup")):
        back_up(catalog, folder)
        assert verify_backup(folder).collections[0].documents == 1


def test_a_mount_point_is_refused_before_anything_is_copied(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stick").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "stick")
    with pytest.raises(BackupConflictError, match="stick is a mount point; a backup goes to a new folder in it"):
        back_up(catalog, tmp_path / "stick")


@pytest.mark.parametrize("below", ["one", "not/there/one"])
def test_a_folder_that_cannot_take_a_backup_is_named(catalog: Catalog, tmp_path: Path, below: str) -> None:
    (tmp_path / "ro").mkdir()
    with read_only(tmp_path / "ro"), pytest.raises(BackupError) as refused:
        back_up(catalog, tmp_path / "ro" / below)
    assert str(refused.value) == f"cannot write to {tmp_path / 'ro'}: Read-only file system"


def test_a_backup_that_can_only_be_read_is_restored(made: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [made, *made.rglob("*")]}
    with read_only(made):
        manifest = restore(made, tmp_path / "restored")
    assert {path: path.stat().st_mtime_ns for path in [made, *made.rglob("*")]} == before
    assert all(Checksum.of_file(tmp_path / "restored" / path) == manifest.files[path] for path in manifest.files)


def test_a_directory_that_cannot_be_locked_is_told_from_one_that_is_in_use(made: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    said = "target, which has to be writable for that: Read-only file system"
    with read_only(tmp_path / "target"), pytest.raises(DataDirectoryError, match=said) as refused:
        restore(made, tmp_path / "target")
    assert not isinstance(refused.value, DataDirectoryInUseError)
    with owned(tmp_path / "target"), pytest.raises(DataDirectoryInUseError, match="target is in use by another"):
        restore(made, tmp_path / "target")


def test_a_place_that_is_taken_is_refused_before_the_backup_is_read_through(made: Path, tmp_path: Path) -> None:
    asked: list[int] = []
    with pytest.raises(BackupConflictError, match="has data"):
        restore(made, tmp_path / "data", lambda done, _: asked.append(done))
    (made / "catalog.db").write_bytes(b"damaged")
    with pytest.raises(BackupConflictError, match="has data"):
        restore(made, tmp_path / "data")
    assert asked == []


def test_what_is_no_backup_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no backup"):
        restore(tmp_path / "absent", tmp_path / "new" / "data")
    assert not (tmp_path / "new").exists()
