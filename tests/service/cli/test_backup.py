"""quarry backup and quarry restore, in process."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from indexes.data_directory import owned
from service.cli.main import app


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def served(listening: Callable[..., str]) -> str:
    """A server's address, with a document in ``bees``."""
    url = listening()
    for name in ("a", "b"):
        document = {"text": f"The bees of {name} sleep in winter."}
        httpx.put(f"{url}/v1/collections/bees/documents/{name}", json=document, trust_env=False).raise_for_status()
    return url


def test_a_server_is_backed_up_and_restored_and_the_copy_backed_up_again(served: str, tmp_path: Path) -> None:
    done = quarry("backup", "one", "--url", served)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "served" / "backups" / "one"
    lines = done.stdout.splitlines()
    assert lines[0] == "bees: 2 documents, 2 chunks"
    assert lines[1].startswith(f"backed up to {folder}: 1 collections, ")
    target = tmp_path / "restored"
    done = quarry("restore", folder, "--data-dir", target)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].startswith(f"restored to {target}: 1 collections, ")
    assert "verifying" in done.stderr
    offline = quarry("backup", tmp_path / "two", "--data-dir", target, "--json")
    assert "copying" in offline.stderr
    online = quarry("backup", "three", "--url", served, "--json")
    second, third = json.loads(offline.stdout), json.loads(online.stdout)
    assert (second["folder"], third["folder"]) == (str(tmp_path / "two"), str(folder.with_name("three")))
    assert second["manifest"]["collections"] == third["manifest"]["collections"]
    assert second.keys() == third.keys()
    assert second["manifest"].keys() == third["manifest"].keys()
    restored = json.loads(quarry("restore", tmp_path / "two", "--data-dir", tmp_path / "again", "--json").stdout)
    assert restored == second | {"folder": str(tmp_path / "again")}
    assert np.all([(tmp_path / "again" / path).exists() for path in second["manifest"]["files"]])


def test_what_goes_wrong_is_said_in_one_line(served: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "served"
    quarry("backup", "one", "--url", served)
    for arguments, said in (
        (
            ("backup", "x", "--data-dir", data_dir),
            "is in use by another process; a server that is running is backed up",
        ),
        (("backup", "x", "--data-dir", tmp_path / "absent"), "absent has no data"),
        (("backup", "x", "--data-dir", data_dir, "--url", served), "give one of them"),
        (("backup", "one", "--url", served), "409: "),
        (("backup", "../x", "--url", served), "422: "),
        (("backup", "x", "--url", "http://127.0.0.1:9"), "http://127.0.0.1:9 cannot be reached"),
        (("restore", tmp_path, "--data-dir", tmp_path / "y"), "is no backup"),
        (("restore", data_dir / "backups" / "one", "--data-dir", data_dir), "in use by another process"),
    ):
        done = quarry(*arguments)
        assert done.exit_code == 1, done.output
        assert done.stdout == ""
        assert said in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("quarry: ")
    assert not (tmp_path / "absent").exists()
    assert not (tmp_path / "y").exists()


def test_a_damaged_backup_and_a_directory_with_data_are_refused(served: str, tmp_path: Path) -> None:
    quarry("backup", "one", "--url", served)
    folder = tmp_path / "served" / "backups" / "one"
    with (folder / "catalog.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    done = quarry("restore", folder, "--data-dir", tmp_path / "restored")
    assert (done.exit_code, "is damaged" in done.stderr) == (1, True)
    quarry("backup", "two", "--url", served)
    assert quarry("restore", folder.with_name("two"), "--data-dir", tmp_path / "restored").exit_code == 0
    done = quarry("restore", folder.with_name("two"), "--data-dir", tmp_path / "restored")
    assert (done.exit_code, "has data" in done.stderr) == (1, True)
    with owned(tmp_path / "restored"):
        assert "in use" in quarry("backup", tmp_path / "z", "--data-dir", tmp_path / "restored").stderr


def test_the_way_over_a_server_is_named_only_where_one_runs(served: str, tmp_path: Path) -> None:
    quarry("backup", "one", "--url", served)
    target = tmp_path / "restored"
    quarry("restore", tmp_path / "served" / "backups" / "one", "--data-dir", target)
    (target / "lock").unlink()
    (target / "lock").mkdir()  # which no one can lock, not even root
    said = quarry("backup", tmp_path / "two", "--data-dir", target).stderr
    assert f"cannot lock {target}" in said.replace("\n", "")
    assert "--url" not in said
    (target / "lock").rmdir()
    inside = quarry("backup", target / "two", "--data-dir", target)
    assert (inside.exit_code, "is inside the data directory" in inside.stderr) == (1, True)


def test_a_folder_that_is_no_backup_shows_no_progress(tmp_path: Path) -> None:
    done = quarry("restore", tmp_path, "--data-dir", tmp_path / "new")
    assert done.exit_code == 1
    assert next(line for line in done.stderr.splitlines() if line.strip()).startswith("quarry: ")


def test_restore_names_its_directory(tmp_path: Path) -> None:
    assert quarry("restore", tmp_path).exit_code == 2
