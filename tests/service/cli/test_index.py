"""quarry index, in process: asked of a server, and offline."""

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from indexes.data_directory import owned
from indexes.upkeep import Upkeep
from service.cli import index as index_commands
from service.cli.main import app

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

PATIENCE_S = 200.0
ROWS = 300
LINES = "\n".join(
    f'{{"id": "d{i}", "text": "Bees of hive {i} sleep.", "metadata": {{"odd": {i % 2}}}}}' for i in range(ROWS)
)
NDJSON = {"content-type": "application/x-ndjson"}
STORED = "The beekeeper of hive seven is called Adler."


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["index", *map(str, arguments)])


def reply(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def served(listening: Callable[..., str]) -> str:
    """Address of a server with 300 documents in ``bees``."""
    url = listening(index={"seal_rows": 256})
    with httpx.Client(base_url=f"{url}/v1/collections/", trust_env=False) as http:
        http.post("bees/documents:batch", content=LINES, headers=NDJSON).raise_for_status()
        http.put("bees/documents/who", json={"text": STORED}).raise_for_status()
    return url


@pytest.fixture
def data_dir(open_api: OpenApi, tmp_path: Path) -> Path:
    """A directory with the same, that no server is using."""
    with open_api() as api:
        api.post("/v1/collections/bees/documents:batch", content=LINES, headers=NDJSON)
        api.put("/v1/collections/bees/documents/who", json={"text": STORED})
    return tmp_path / "data"


@pytest.fixture(params=["served", "data_dir"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Options that lead to ``bees``, on a server and offline."""
    monkeypatch.setenv("QUARRY_INDEX__SEAL_ROWS", "256")
    return "--url" if request.param == "served" else "--data-dir", str(request.getfixturevalue(request.param))


def test_an_index_is_rebuilt_looked_at_calibrated_and_verified(where: tuple[str, str]) -> None:
    done = quarry("rebuild", "bees", *where)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"bees: {ROWS + 1} documents, {ROWS + 1} chunks, version {ROWS + 1}"
    assert f"ivf_pq: {ROWS + 1} live rows, sealed: IVF-PQ with exact refine over {ROWS + 1} rows" in lines
    assert any(line.startswith("snapshot: 0000000") for line in lines)
    assert "live recall: no search compared yet" in lines
    stats = reply(quarry("stats", "bees", *where, "--json"))
    assert stats["index"]["segments"][0]["rows"] == ROWS + 1
    curve = reply(quarry("calibrate", "bees", *where, "--json"))
    assert curve["chosen"] in curve["points"]
    assert quarry("calibrate", "bees", *where).stdout.startswith(f"nprobe {curve['chosen']['nprobe']}, refine ")
    assert reply(quarry("verify", "bees", *where, "--json"))["problems"] == []
    told = quarry("verify", "bees", *where).stdout
    assert told == f"{ROWS + 1} rows and {ROWS + 1} vectors compared at version {ROWS + 1}: 0 problems\n"


def test_documents_are_purged(where: tuple[str, str], tmp_path: Path) -> None:
    files = [path for path in tmp_path.rglob("store.db*")]
    assert any(STORED.encode() in path.read_bytes() for path in files)
    odd = '{"type": "eq", "key": "odd", "value": 1}'
    done = quarry("purge", "bees", "--id", "who", "--id", "absent", "--filters", odd, *where)
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first.startswith("151 documents deleted, version ")
    assert "of what was deleted were looked for in all " in second
    assert ": 0 found" in second
    assert not any(STORED.encode() in path.read_bytes() for path in files if path.exists())
    again = reply(quarry("purge", "bees", *where, "--json"))
    assert (again["deleted"], again["proof"]["found"]) == (0, 0)
    assert "nothing was left of deleted documents" in quarry("purge", "bees", *where).stdout
    assert quarry("stats", "bees", *where).stdout.startswith("bees: 150 documents")


def test_what_is_wrong_is_said_and_the_exit_code_is_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_INDEX__SEAL_ROWS", "256")
    quarry("rebuild", "bees", "--data-dir", data_dir)
    (path,) = data_dir.rglob("rows.int64")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    done = quarry("verify", "bees", "--data-dir", data_dir)
    assert done.exit_code == 1
    assert "rows.int64 is damaged" in done.stdout
    assert json.loads(quarry("verify", "bees", "--data-dir", data_dir, "--json").stdout)["problems"]
    assert quarry("rebuild", "bees", "--data-dir", data_dir).exit_code == 0
    assert quarry("verify", "bees", "--data-dir", data_dir).exit_code == 0


def test_progress_goes_to_stderr(where: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    seen = threading.Event()

    class Noted(index_commands.Progress):
        def update(self, *arguments: Any, **fields: Any) -> None:  # noqa: ANN401
            looked.append(fields["description"])
            super().update(*arguments, **fields)
            seen.set()

    rebuild = Upkeep._rebuild

    def slow(self: Upkeep, reason: str) -> None:
        with self._announced(f"rebuilding: {reason}") as progress:
            progress(1, 2)
            assert seen.wait(PATIENCE_S)
        rebuild(self, reason)

    monkeypatch.setattr(index_commands, "Progress", Noted)
    monkeypatch.setattr(Upkeep, "_rebuild", slow)
    assert reply(quarry("rebuild", "bees", *where, "--json"))["name"] == "bees"
    assert looked[0] == "rebuilding: asked for"


def test_what_goes_wrong_is_said_in_one_line(served: str, data_dir: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (("stats", "absent", "--url", served), "404: there is no collection 'absent'"),
        (("stats", "absent", "--data-dir", data_dir), "there is no collection 'absent'"),
        (("stats", "bees", "--data-dir", tmp_path / "none"), "none has no data"),
        (("stats", "bees", "--data-dir", data_dir, "--url", served), "give one of them"),
        (("verify", "bees", "--url", "http://127.0.0.1:9"), "http://127.0.0.1:9 cannot be reached"),
        (("calibrate", "bees", "--data-dir", data_dir), "0 rows are in the compressed index"),
        (("purge", "bees", "--filters", "{", "--url", served), "--filters is not JSON"),
        (("purge", "bees", "--filters", "{}", "--url", served), "422: "),
        (("purge", "bees", "--filters", "[]", "--data-dir", data_dir), "filter"),
        (("purge", "bees", "--id", "", "--data-dir", data_dir), "id"),
    ):
        done = quarry(*arguments)
        assert done.exit_code == 1, done.output
        assert done.stdout == ""
        assert said in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("quarry: ")
    with owned(data_dir):
        said = quarry("stats", "bees", "--data-dir", data_dir).stderr
    assert "is in use by another process; a server that is running is asked with --url" in said
    (data_dir / "lock").unlink()
    (data_dir / "lock").mkdir()
    said = quarry("stats", "bees", "--data-dir", data_dir).stderr
    assert ("cannot lock" in said, "--url" in said) == (True, False)
    assert not (tmp_path / "none").exists()


def test_offline_an_index_that_other_settings_unseal_is_told_of(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUARRY_INDEX__SEAL_ROWS", "256")
    assert "IVF-PQ" not in quarry("rebuild", "bees", "--data-dir", data_dir).stderr
    monkeypatch.delenv("QUARRY_INDEX__SEAL_ROWS")
    done = quarry("purge", "bees", "--data-dir", data_dir)
    assert done.exit_code == 0
    assert "bees: IVF-PQ no longer covers any row" in done.stderr
    assert "--config" in done.stderr
    assert quarry("purge", "bees", "--data-dir", data_dir).stderr.count("IVF-PQ") == 0
