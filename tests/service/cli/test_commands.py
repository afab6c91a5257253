"""The command tree, in process, against a served application."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.access.keys import Keys
from service.cli.main import app
from tenants.asking import ADMIN, made

TEXT = "# Bees\n\nThe honey bees of the meadow sleep in winter.\n"


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    (root / "bees.md").write_text(TEXT)
    (root / "empty.txt").write_text("\n")
    return root


def test_help_names_every_command() -> None:
    done = quarry("--help")
    assert done.exit_code == 0
    for command in ("serve", "ingest", "ask", "backup", "restore", "bench"):
        assert command in done.output


def test_an_unknown_option_or_command_is_an_error() -> None:
    assert quarry("ask", "why?", "--frobnicate").exit_code == 2
    assert quarry("frobnicate").exit_code == 2


def test_ingest_then_ask(listening: Callable[..., str], folder: Path) -> None:
    url = listening()
    done = quarry("ingest", folder, "--collection", "bees", "--url", url, "--wait-ready", "5")
    assert done.exit_code == 0, done.output
    assert done.stdout == "bees: 1 created, 1 skipped as empty\n"
    asked = quarry("ask", "When do the honey bees sleep?", "--collection", "bees", "--url", f"{url}/")
    assert asked.exit_code == 0
    lines = asked.stdout.splitlines()
    assert lines[0] == "The honey bees of the meadow sleep in winter. [1]"
    assert lines[2] == "Sources"
    assert lines[3].startswith("  [1] Bees  (bees.md, cosine 0.")
    assert lines[-1].startswith("tokenize ")
    assert " total " in f" {lines[-1]}"


def test_documents_are_of_a_language(listening: Callable[..., str], folder: Path) -> None:
    url = listening()
    for asked, code in (("xx", 1), ("de", 0), ("de", 0), ("en", 1)):
        done = quarry("ingest", folder, "--url", url, "--language", asked)
        assert done.exit_code == code, done.output
    assert done.stderr.startswith("quarry: 409: collection 'default' exists with another identity: language is 'de'")
    assert "words: de" in quarry("collections", "show", "default", "--url", url).stdout.splitlines()


def test_ask_prints_json_on_request(listening: Callable[..., str], folder: Path) -> None:
    url = listening()
    quarry("ingest", folder, "--url", url)
    reply = json.loads(quarry("ask", "When do honey bees sleep?", "--url", url, "--json", "--top-k", "1").stdout)
    assert (reply["status"], len(reply["chunks"])) == ("ok", 1)


def test_ask_says_what_was_lost(listening: Callable[..., str], folder: Path) -> None:
    url = listening(llm={"main": {"url": "http://127.0.0.1:9", "model": "m"}})
    quarry("ingest", folder, "--url", url)
    assert "partial: lost llm" in quarry("ask", "When do the honey bees sleep?", "--url", url).stdout
    chosen = quarry("ask", "When do the honey bees sleep?", "--url", url, "--llm", "extractive")
    assert "partial" not in chosen.stdout


def test_ask_without_an_answer(listening: Callable[..., str], folder: Path) -> None:
    url = listening()
    quarry("ingest", folder, "--url", url)
    done = quarry("ask", "zebra crossing", "--url", url)
    assert done.exit_code == 0
    assert done.stdout.startswith("The documents do not answer this question.")
    assert "Sources" not in done.stdout


def test_what_the_server_refuses_is_said(listening: Callable[..., str], folder: Path) -> None:
    url = listening()
    asked = quarry("ask", "why?", "--collection", "none", "--url", url)
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr == "quarry: 404: there is no collection 'none'\n"
    named = quarry("ingest", folder, "--collection", "a b", "--url", url)
    assert named.exit_code == 1
    assert "400: collection name 'a b'" in named.stderr


def test_a_document_that_fails_makes_the_exit_code(listening: Callable[..., str], folder: Path) -> None:
    (folder / "broken.txt").write_bytes(b"\xff\xfe\xfd")
    done = quarry("ingest", folder, "--url", listening())
    assert done.exit_code == 1
    assert done.stdout == "default: 1 created, 1 failed, 1 skipped as empty\n"
    assert "broken.txt" in done.stderr


def test_paths_that_are_not_there(folder: Path) -> None:
    done = quarry("ingest", folder / "none", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert f"{folder}/none:nosuchfileorfolder" in "".join(done.stderr.split())  # lines wrap at the terminal's width


@pytest.mark.parametrize("arguments", [["ask", "why?"], ["ingest", "."]])
def test_a_server_that_is_not_there(arguments: list[str]) -> None:
    done = quarry(*arguments, "--url", "http://127.0.0.1:9")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(404, json={"detail": "no"})

    monkeypatch.setattr("httpx.HTTPTransport.handle_request", lambda _, request: handler(request))
    quarry("ask", "why?", "--key", "k-1")
    quarry("ask", "why?")
    assert seen == ["Bearer k-1", None]


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t"])
def test_a_key_from_a_file_with_other_line_ends_is_the_key(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    seen: list[str | None] = []

    def handler(_: object, request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(404, json={"detail": "no"})

    monkeypatch.setattr("httpx.HTTPTransport.handle_request", handler)
    monkeypatch.setenv("QUARRY_KEY", f"k-1{end}")
    quarry("ask", "why?")
    assert seen == ["Bearer k-1"]


@pytest.mark.parametrize("inside", ["\n", "\r", "\x00", "\x1b", "\x7f", "\xe9"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    def handler(_: object, request: httpx.Request) -> httpx.Response:
        raise AssertionError(request)

    monkeypatch.setattr("httpx.HTTPTransport.handle_request", handler)
    done = quarry("ask", "why?", "--key", f"quarry.secret{inside}part")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "quarry: --key has characters that a header cannot carry\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "65536"], "server.port: Input should be less than or equal to 65535"),
        (["--metrics-port", "-1"], "server.metrics_port: Input should be greater than or equal to 0"),
        (
            ["--port", "8081", "--metrics-port", "8081"],
            "server: metrics_port is 8081, which is the API's port: leave it out, or take another",
        ),
        (["--config", "none.toml"], "--config none.toml: no such file"),
    ],
)
def test_settings_that_cannot_be(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = psutil.Process().children()
    done = quarry("serve", *arguments)
    assert done.exit_code == 1
    assert done.stderr == f"quarry: {said}\n"
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == before, "nothing is started that nobody would end"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken(tmp_path: Path, host: str) -> None:
    """In a process of its own, whose log is set up."""
    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "service", "serve", "--host", host, "--metrics-port", str(port)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"quarry: server.metrics_port {port} at {host} cannot be taken: Address already in use"
    )
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == before


def test_variables_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARRY_LLM__MAIN__KEYY", "sk-hidden")
    done = quarry("serve")
    assert done.exit_code == 1
    assert "llm.main.keyy: Extra inputs are not permitted" in done.stderr
    assert "sk-hidden" not in done.output


def test_a_key_with_a_filter_ingests_with_its_metadata(
    listening: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    acme = made(Keys(tmp_path / "served"), "query", "ingest", filter_={"type": "eq", "key": "tenant", "value": "acme"})
    url = listening(access={"admin_key": ADMIN})
    (folder / "more.jsonl").write_text('{"id": "wasps", "text": "Wasps never sleep."}\n')
    key = ("--url", url, "--key", acme)
    refused = quarry("ingest", folder, *key)
    assert (refused.exit_code, refused.stdout) == (1, "default: 3 failed\n"), refused.output
    done = quarry("ingest", folder, *key, "--metadata", '{"tenant": "acme"}')
    assert (done.exit_code, done.stdout) == (0, "default: 2 created, 1 skipped as empty\n"), done.output
    assert quarry("collections", "list", *key).stdout == "default: 2 documents\n"
    shown = quarry("collections", "show", "default", *key)
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "default: 2 documents")
    stats = quarry("index", "stats", "default", *key)
    assert stats.exit_code == 0, stats.output
    assert stats.stdout.splitlines()[-1] == "the index is shown to keys without a filter"
    whole = quarry("index", "stats", "default", "--url", url, "--key", ADMIN)
    assert "2 documents, 2 chunks" in whole.stdout


@pytest.mark.parametrize(("metadata", "said"), [("{", "is not JSON: "), ("[1]", "is no JSON object: [1]")])
def test_metadata_that_is_none_is_refused_before_anything_is_sent(folder: Path, metadata: str, said: str) -> None:
    done = quarry("ingest", folder, "--url", "http://127.0.0.1:9", "--metadata", metadata)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"quarry: --metadata {said}")
