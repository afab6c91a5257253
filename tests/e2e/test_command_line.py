"""quarry ingest, quarry ask and quarry serve as an operator runs them."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

Run = Callable[[Sequence[str | Path]], subprocess.CompletedProcess[str]]

HTML = """<html><head><title>Bees</title></head><body><h1>Keeping bees</h1>
<p>A hive is opened on a warm day without wind.</p></body></html>"""
LINES = [
    {"_id": "m1", "title": "Mosses", "text": "Moss grows on the shaded side of the stone wall."},
    {"id": "m2", "text": "Ferns unroll their fronds in late spring.", "metadata": {"kind": "fern"}},
    {"id": "m3", "text": "   "},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every kind of file that is read, an empty one, and one that is passed over."""
    root = tmp_path / "garden"
    (root / "sub folder").mkdir(parents=True)
    (root / "roses.md").write_text("# Roses\n\nRoses are pruned in early March before the buds open.\n")
    (root / "sub folder" / "bees.html").write_text(HTML)
    (root / "compost.txt").write_text("Compost is turned every fortnight so that air reaches the middle.\n")
    (root / "wild.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (root / "empty.txt").write_text("")
    (root / "photo.png").write_bytes(b"\x89PNG")
    (root / ".hidden.md").write_text("hidden")
    return root


def ids(http: httpx.Client, collection: str) -> list[str]:
    return [entry["id"] for entry in http.get(f"/v1/collections/{collection}/documents").json()["data"]]


def test_ingest_a_folder_ask_and_ingest_it_again(http: httpx.Client, quarry: Run, folder: Path) -> None:
    server = ["--collection", "garden", "--url", str(http.base_url)]
    done = quarry(["ingest", folder, *server, "--wait-ready", "30"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "garden: 5 created, 2 skipped as empty, 1 not read\n"
    assert "photo.png" in done.stderr
    assert ids(http, "garden") == ["compost.txt", "m1", "m2", "roses.md", "sub folder/bees.html"]
    assert http.get("/v1/collections/garden/documents/sub%20folder%2Fbees.html").json()["title"] == "Bees"

    asked = quarry(["ask", "When are roses pruned?", *server])
    assert asked.returncode == 0, asked.stderr
    assert "early March" in asked.stdout
    assert "[1] Roses" in asked.stdout
    assert "total" in asked.stdout

    version = http.get("/v1/collections/garden").json()["index_version"]
    assert quarry(["ingest", folder, *server]).stdout == "garden: 2 skipped as empty, 5 unchanged, 1 not read\n"
    assert http.get("/v1/collections/garden").json()["index_version"] == version


def test_a_binary_file_is_reported_and_the_rest_is_stored(http: httpx.Client, quarry: Run, folder: Path) -> None:
    (folder / "broken.txt").write_bytes(b"plain at first \xff\xfe\x00 then not")
    done = quarry(["ingest", folder, "--collection", "broken", "--url", str(http.base_url)])
    assert done.returncode == 1
    assert "broken.txt" in done.stderr
    assert "byte 0xff at offset 15" in done.stderr
    assert "1 failed" in done.stdout
    assert "broken.txt" not in ids(http, "broken")
    assert "compost.txt" in ids(http, "broken")


def test_a_data_directory_has_one_server(
    http: httpx.Client,
    spawn: Callable[[Path], tuple[subprocess.Popen[bytes], Path]],
    shared_data_dir: Path,
) -> None:
    assert http.get("/healthz").status_code == 200
    process, log = spawn(shared_data_dir)
    assert process.wait(timeout=200) not in {0, None}
    assert f"{shared_data_dir} is in use by another process" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "loading" not in log.read_text(), "seconds before it was refused"
