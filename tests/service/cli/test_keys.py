"""quarry keys, in process: over a server, and on a directory that none is using."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from indexes.data_directory import owned
from service.access.keys import Keys
from service.cli.main import app

FILTER = {"type": "eq", "key": "tenant", "value": "acme"}
FIELDS = {"id", "name", "scopes", "collections", "filter", "limits", "created_at", "revoked_at"}


def quarry(*arguments: str | Path, key: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"QUARRY_KEY": key})


def made(*arguments: str | Path, key: str | None = None) -> str:
    """The text of a new key."""
    done = quarry("keys", "create", *arguments, key=key)
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    return line


def test_offline_a_new_directory_gets_a_key_that_stands_alone_on_stdout(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    done = quarry("keys", "create", "op", "--scope", "admin", "--data-dir", data_dir)
    assert done.exit_code == 0, done.output
    text = done.stdout.removesuffix("\n")
    assert Keys(data_dir).shown(text).name == "op"
    assert "'op': admin every collection" in done.stderr
    assert "shown this once" in done.stderr
    assert text not in done.stderr
    assert stat.S_IMODE((data_dir / "keys.json").stat().st_mode) == 0o600


def test_offline_what_is_asked_for_is_what_holds(tmp_path: Path) -> None:
    made("op", "--scope", "admin", "--data-dir", tmp_path)
    wanted = ["--scope", "query,ingest", "--collection", "a, b", "--collection", "c", "--filter", json.dumps(FILTER)]
    limits = ["--requests-per-minute", "60", "--tokens-per-minute", "1000", "--concurrency", "2"]
    done = quarry("keys", "create", "acme", *wanted, *limits, "--data-dir", tmp_path, "--json")
    reply = json.loads(done.stdout)
    assert reply.keys() == FIELDS | {"key"}
    assert (reply["scopes"], reply["collections"], reply["filter"]) == (["query", "ingest"], ["a", "b", "c"], FILTER)
    assert reply["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrency": 2}
    kept = Keys(tmp_path).shown(reply["key"])
    assert (kept.id, kept.rights.collections) == (reply["id"], {"a", "b", "c"})
    listed = quarry("keys", "list", "--data-dir", tmp_path).stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].startswith(f"{reply['id']} 'acme': query,ingest of a,b,c, with a filter, 60 requests per minute")
    assert reply["key"].rpartition(".")[2] not in "".join(listed)


def test_offline_a_key_is_revoked_and_what_that_means_is_said(tmp_path: Path) -> None:
    text = made("op", "--scope", "admin", "--data-dir", tmp_path)
    key_id = text.split(".")[1]
    done = quarry("keys", "revoke", key_id, "--data-dir", tmp_path)
    assert (done.exit_code, "revoked" in done.stdout) == (0, True)
    assert "no key has the scope admin" in done.stderr
    again = json.loads(quarry("keys", "revoke", key_id, "--data-dir", tmp_path, "--json").stdout)
    assert again["revoked_at"] is not None
    (listed,) = json.loads(quarry("keys", "list", "--data-dir", tmp_path, "--json").stdout)["data"]
    assert listed == again
    assert Keys(tmp_path).are_needed


def test_a_whole_key_in_the_place_of_its_id_is_refused_and_goes_nowhere(tmp_path: Path) -> None:
    text = made("op", "--scope", "admin", "--data-dir", tmp_path)
    for where in (("--data-dir", tmp_path), ("--url", "http://127.0.0.1:9")):
        done = quarry("keys", "revoke", text, *where)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "this is a key, not its id" in done.stderr
        assert text.rpartition(".")[2] not in done.stderr
    assert Keys(tmp_path).shown(text).name == "op"


def test_offline_a_first_key_that_makes_no_others_is_made_and_said(tmp_path: Path) -> None:
    done = quarry("keys", "create", "reader", "--scope", "query", "--data-dir", tmp_path)
    assert done.exit_code == 0
    assert "no key has the scope admin" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_what_goes_wrong_offline_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    made("op", "--scope", "admin", "--data-dir", data_dir)
    was = (data_dir / "keys.json").read_bytes()
    (tmp_path / "file").write_text("")
    reader = ("keys", "create", "a", "--scope", "query", "--data-dir", data_dir)
    for arguments, said in (
        ((*reader, "--filter", '{"type"'), "--filter is not JSON: "),
        ((*reader, "--filter", "7"), "filter: Input should be a valid dictionary"),
        ((*reader, "--filter", '{"type": "no"}'), "filter: type must be one of eq"),
        ((*reader, "--collection", "a,../b"), "collections.1: "),
        ((*reader, "--collection", "a,"), "collections.1: "),
        ((*reader, "--scope", "root"), "scopes.1: Input should be 'query', 'ingest' or 'admin'"),
        (("keys", "create", " ", "--scope", "query", "--data-dir", data_dir), "name: "),
        (
            ("keys", "create", b"\xff".decode(errors="surrogateescape"), "--scope", "query", "--data-dir", data_dir),
            "name: ",
        ),
        ((*reader, "--scope", "admin", "--filter", json.dumps(FILTER)), "a key of scope admin takes no filter"),
        (("keys", "revoke", "nobody", "--data-dir", data_dir), "there is no key of the id 'nobody'"),
        (("keys", "list", "--data-dir", tmp_path / "absent"), "absent is no directory"),
        (("keys", "revoke", "x", "--data-dir", tmp_path / "absent"), "absent is no directory"),
        (("keys", "create", "a", "--scope", "query", "--data-dir", tmp_path / "file" / "x"), "cannot be made"),
        ((*reader, "--url", "http://127.0.0.1:9"), "give one of them"),
    ):
        done = quarry(*arguments)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("quarry: ")
        assert said in line
    assert (data_dir / "keys.json").read_bytes() == was
    assert not (tmp_path / "absent").exists()
    assert quarry(*reader, "--concurrency", "0").exit_code == 2
    assert quarry("keys", "create", "a", "--data-dir", data_dir).exit_code == 2, "what a key is for is said"


def test_offline_a_directory_in_use_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    with owned(tmp_path):
        for arguments in (("create", "a", "--scope", "admin"), ("list",), ("revoke", "x")):
            done = quarry("keys", *arguments, "--data-dir", tmp_path)
            assert (done.exit_code, done.stdout) == (1, "")
            assert "are changed with --url, by a key of scope admin" in done.stderr
    (tmp_path / "keys.json").write_text("{}")
    done = quarry("keys", "create", "a", "--scope", "admin", "--data-dir", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "keys.json is damaged" in done.stderr
    assert (tmp_path / "keys.json").read_text() == "{}"


def test_a_server_makes_lists_and_revokes_keys(listening: Callable[..., str]) -> None:
    url = listening()
    assert quarry("keys", "list", "--url", url).stderr.strip() == "there are no keys"
    refused = quarry("keys", "create", "reader", "--scope", "query", "--url", url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "409: " in refused.stderr
    assert "make that one first" in refused.stderr
    admin = made("op", "--scope", "admin", "--url", url)
    refused = quarry("keys", "list", "--url", url)
    assert (refused.exit_code, "401: " in refused.stderr, "QUARRY_KEY" in refused.stderr) == (1, True, True)
    done = quarry("keys", "create", "reader", "--scope", "query", "--url", url, "--json", key=admin)
    reader = json.loads(done.stdout)
    assert reader.keys() == FIELDS | {"key"}
    with httpx.Client(base_url=url, headers={"x-api-key": reader["key"]}, trust_env=False) as http:
        assert http.get("/v1/collections").is_success
        assert json.loads(quarry("keys", "revoke", reader["id"], "--url", url, "--json", "--key", admin).stdout)
        assert http.get("/v1/collections").status_code == 401
    listed = quarry("keys", "list", "--url", url, key=admin).stdout.splitlines()
    assert ["revoked" in line for line in listed] == [False, True]
    assert json.loads(quarry("keys", "list", "--url", url, "--json", key=admin).stdout).keys() == {"data"}
    assert "404: " in quarry("keys", "revoke", "../x", "--url", url, key=admin).stderr
    assert "409: " in quarry("keys", "revoke", admin.split(".")[1], "--url", url, key=admin).stderr


@pytest.mark.parametrize("scope", ["query", "ingest"])
def test_who_may_not_make_keys_is_told_so(listening: Callable[..., str], scope: str) -> None:
    url = listening()
    admin = made("op", "--scope", "admin", "--url", url)
    key = made("a", "--scope", scope, "--url", url, key=admin)
    done = quarry("keys", "create", "b", "--scope", "admin", "--url", url, key=key)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"403: this key has not the scope admin: it has {scope}" in done.stderr


def test_neither_way_waits_for_torch(tmp_path: Path) -> None:
    code = "import sys; from service.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    for where in (["--data-dir", str(tmp_path)], ["--url", "http://127.0.0.1:9"]):
        command = [sys.executable, "-c", code, "keys", "create", "a", "--scope", "admin", *where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        loaded = done.stdout.split()
        assert "service.cli.keys" in loaded, done.stderr
        assert not {"torch", "transformers", "faiss", "fastapi", "huggingface_hub"} & set(loaded)
