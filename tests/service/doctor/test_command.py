"""quarry doctor, in process."""

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from service.cli.main import app


def doctor(*arguments: str | Path, columns: str = "200") -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)], env={"COLUMNS": columns})


def config(tmp_path: Path, tiny_embedder: Path, more: str = "") -> Path:
    path = tmp_path / "quarry.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n[embedding]\nmodel = "{tiny_embedder}"\n{more}')
    return path


def test_a_healthy_installation(tmp_path: Path) -> None:
    done = doctor("--data-dir", tmp_path / "data", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert {check["status"] for check in found["checks"]} <= {"ok", "warning"}
    names = [check["name"] for check in found["checks"]]
    for name in ("clock", "processor", "memory", "open files", "fsync", "gpu", "faiss", "embedder all-MiniLM-L6-v2"):
        assert name in names
    assert not (tmp_path / "data").exists()


def test_what_has_failed_ends_it_with_1(tmp_path: Path, tiny_embedder: Path, model_server: Callable[..., str]) -> None:
    socket = f"/run/{'s' * 120}.sock"
    llms = f'[llm.main]\nurl = "{model_server(model="other")}"\nmodel = "m"\n'
    llms += f'[llm.far]\nurl = "unix://{socket}"\nmodel = "m"\n'
    done = doctor("--config", config(tmp_path, tiny_embedder, llms), "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    failures = {check["name"] for check in found["checks"] if check["status"] == "failure"}
    assert failures == {"llm main", "llm far socket", "llm far"}
    assert all(check["advice"] for check in found["checks"] if check["status"] != "ok")


def test_every_server_of_a_language_model_is_looked_at(
    tmp_path: Path, tiny_embedder: Path, model_server: Callable[..., str]
) -> None:
    urls = [model_server(), "unix:///nothing/llm.sock"]
    done = doctor("--config", config(tmp_path, tiny_embedder, f'[llm.main]\nurls = {urls}\nmodel = "m"\n'), "--json")
    found = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "llm main"]
    assert [check["status"] for check in found] == ["ok", "ok", "failure"]
    assert urls[0] in found[0]["found"]
    assert urls[1] in found[2]["found"]
    assert found[2]["advice"] == "start the server; until then the others answer"


def test_the_table_says_what_to_do(tmp_path: Path, tiny_embedder: Path) -> None:
    llm = '[llm.main]\nmodel = "m"\n[llm.main.managed]\nweights = "/nothing[here]"\ncommand = "/nothing/vllm"\n'
    done = doctor("--config", config(tmp_path, tiny_embedder, llm))
    assert done.exit_code == 1
    for text in ("llm main command", "failure", "/nothing[here] lacks", "install vLLM"):
        assert text in done.stdout


def test_in_a_narrow_terminal_nothing_is_cut(tmp_path: Path, tiny_embedder: Path) -> None:
    llm = '[llm.main]\nmodel = "m"\n[llm.main.managed]\nweights = "/nothing"\ncommand = "/nothing/vllm"\n'
    lines = doctor("--config", config(tmp_path, tiny_embedder, llm), columns="80").stdout.splitlines()
    assert [cell.strip() for cell in lines[0].split("┃")] == ["check", "state", "found", "what to do"]
    told = "".join(line.split("│")[3].strip() for line in lines if "│" in line)
    assert "…" not in "".join(lines)
    assert "llm.main.managed.command" in told


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    done = doctor("--config", tmp_path / "none.toml")
    assert done.exit_code == 1
    assert "no such file" in done.stderr
