"""A bundle in the making says what it is at."""

from pathlib import Path

import pytest

from deploy.bundle import bundle
from deploy.bundle.bundle import Request, make_bundle
from deploy.bundle.environment import Environment
from deploy.bundle.profile import Profile
from tiny_wheels import tiny_wheel


def test_each_step_is_told_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(source: object, own: Path, folder: Path, index: str | None) -> Environment:
        assert told[-1].startswith("fetching the wheels of the environment quarry")
        return Environment.of_folder("quarry", "3.11", "quarry", own.parent)

    told: list[str] = []
    monkeypatch.setattr(bundle, "own_wheel", lambda scratch, _: tiny_wheel(scratch, "quarry"))
    monkeypatch.setattr(bundle, "fetched", fetched)
    made = make_bundle(Request(Profile.CPU, [], None, 315_532_800, "abc"), tmp_path, told.append)
    assert made.is_file()
    assert [line.split()[0] for line in told] == ["building", "fetching", "writing", "writing", "packing"]
