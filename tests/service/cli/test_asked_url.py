"""QUARRY_URL is the server of whoever names none."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.main import app
from service.settings import load_settings

NOBODY, NEITHER = "http://127.0.0.1:1", "http://127.0.0.1:2"
ASKING = [
    "ask why",
    "backup one",
    "collections list",
    "documents list",
    "health",
    "index stats docs",
    "ingest .",
    "jobs list",
    "keys list",
    "llm servers main",
    "search why",
]


def quarry(*arguments: str, url: str = NOBODY) -> Result:
    return CliRunner().invoke(app, arguments, env={"QUARRY_URL": url})


@pytest.mark.parametrize("command", ASKING)
def test_it_is_asked_unless_the_command_names_another(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{NOBODY} cannot be reached" in quarry(*command.split()).stderr
    assert f"{NEITHER} cannot be reached" in quarry(*command.split(), "--url", NEITHER).stderr


def test_a_directory_that_no_server_uses_is_opened_all_the_same(tmp_path: Path) -> None:
    done = quarry("keys", "create", "op", "--scope", "admin", "--data-dir", str(tmp_path))
    assert done.exit_code == 0, done.output


def test_it_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_URL", NOBODY)
    load_settings(None)
