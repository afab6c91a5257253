"""The file of keys goes with the data, and stays its owner's alone."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexes import restore
from indexes.backup import back_up, verify_backup
from indexes.backup_manifest import BackupManifest
from indexes.catalog import Catalog
from indexes.data_directory import KEYS, LOCK, owned
from indexes.errors import BackupConflictError, BackupError
from indexes.spec import CollectionSpec

Open = Callable[[], Catalog]
Put = Callable[..., str]

CONTENT = b'{"version": 1, "keys": []}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "one"


@pytest.fixture
def filled(open_catalog: Open, put: Put, spec: CollectionSpec) -> Catalog:
    """A collection of a document, and a file of keys."""
    catalog = open_catalog()
    put(catalog.ensure("a", spec)[0], "a-0", ["one"], np.ones((1, 16), dtype=np.float32))
    (catalog.data_dir / KEYS).write_bytes(CONTENT)
    (catalog.data_dir / KEYS).chmod(0o600)
    return catalog


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_backed_up_verified_and_restored(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    was = os.umask(0)
    try:
        manifest = back_up(filled, folder)
        restore.restore(folder, tmp_path / "restored")
    finally:
        os.umask(was)
    assert KEYS in manifest.files
    assert verify_backup(folder) == manifest == BackupManifest.read(folder)
    for path in (folder / KEYS, tmp_path / "restored" / KEYS):
        assert (path.read_bytes(), mode(path)) == (CONTENT, 0o600)
    assert sorted(path.name for path in (tmp_path / "restored").iterdir()) == [
        "catalog.db",
        "collections",
        KEYS,
        "lock",
    ]
    filled.close()
    with owned(filled.data_dir) as directory:
        assert KEYS in back_up(directory, folder.with_name("offline")).files


@pytest.mark.parametrize("exists", [False, True])
def test_whatever_is_restored_is_its_owners_alone(
    filled: Catalog, folder: Path, tmp_path: Path, *, exists: bool
) -> None:
    target = tmp_path / "restored"
    was = os.umask(0)
    try:
        if exists:
            target.mkdir(0o755)
        back_up(filled, folder)
        restore.restore(folder, target)
    finally:
        os.umask(was)
    made = [path for path in target.rglob("*") if path.name != LOCK]
    assert {mode(path) for path in made if path.is_dir()} == {0o700}
    assert {mode(path) for path in made if path.is_file()} == {0o600}
    assert mode(target) == (0o755 if exists else 0o700)
    assert {mode(path) for path in folder.rglob("*") if path.is_dir()} == {0o700}


def test_a_backup_without_keys_is_restored_as_ever(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    (filled.data_dir / KEYS).unlink()
    assert KEYS not in back_up(filled, folder).files
    restore.restore(folder, tmp_path / "restored")
    assert not (tmp_path / "restored" / KEYS).exists()


def test_damaged_keys_are_refused(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    back_up(filled, folder)
    (folder / KEYS).write_bytes(CONTENT.replace(b"1", b"2"))
    with pytest.raises(BackupError, match=rf"{KEYS} is damaged"):
        restore.restore(folder, tmp_path / "restored")
    (folder / KEYS).unlink()
    with pytest.raises(BackupError, match="cannot be read"):
        verify_backup(folder)
    assert not (tmp_path / "restored").exists()


def test_keys_that_cannot_be_read_are_not_left_out(filled: Catalog, folder: Path) -> None:
    (filled.data_dir / KEYS).unlink()
    (filled.data_dir / KEYS).symlink_to("nowhere")
    with pytest.raises(BackupError, match=KEYS):
        back_up(filled, folder)
    assert list(folder.parent.iterdir()) == []


def test_a_restore_that_fails_at_any_move_leaves_no_keys(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    back_up(filled, folder)
    target = tmp_path / "restored"
    target.mkdir()
    move = restore.move
    for nth in range(3):
        moved: list[Path] = []

        def fail(source: Path, place: Path, moved: list[Path] = moved, nth: int = nth) -> None:
            if len(moved) == nth:
                raise OSError(28, "No space left on device")
            moved.append(place)
            move(source, place)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(restore, "move", fail)
            with pytest.raises(BackupError, match="No space left"):
                restore.restore(folder, target)
        assert [path.name for path in target.iterdir()] == ["lock"], nth
    restore.restore(folder, target)
    assert (target / KEYS).read_bytes() == CONTENT


def test_keys_are_data_that_nothing_is_restored_over(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    back_up(filled, folder)
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / KEYS).write_bytes(b"others")
    with pytest.raises(BackupConflictError, match=KEYS):
        restore.restore(folder, tmp_path / "restored")
    assert (tmp_path / "restored" / KEYS).read_bytes() == b"others"
