"""Whether a data directory has room for more."""

import os
from pathlib import Path

import pytest

from indexes import data_directory
from indexes.data_directory import has_room


def test_room_is_what_this_user_may_still_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = os.statvfs(tmp_path)
    asked: list[Path] = []

    def statvfs(path: Path) -> os.statvfs_result:
        asked.append(path)
        return told

    monkeypatch.setattr(os, "statvfs", statvfs)
    free = told.f_bavail * told.f_frsize
    for least, expected in ((free, True), (free + 1, False)):
        monkeypatch.setattr(data_directory, "LEAST_FREE_BYTES", least)
        assert has_room(tmp_path) is expected
    assert asked == [tmp_path, tmp_path]


def test_a_directory_that_is_gone_has_no_room(tmp_path: Path) -> None:
    assert not has_room(tmp_path / "none")
