"""quarry up, before it runs anything."""

import subprocess
import sys
from pathlib import Path

_LOADED = "import sys, service.cli.main, service.up.parent; print(*sys.modules)"


def refused(tmp_path: Path, toml: str) -> str:
    config = tmp_path / "quarry.toml"
    config.write_text(toml)
    command = [sys.executable, "-m", "service", "up", "--config", str(config), "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_parent_holds_no_memory_of_a_card_and_nothing_that_crashes() -> None:
    loaded = subprocess.check_output([sys.executable, "-c", _LOADED], text=True).split()
    assert "service.up.supervisor" in loaded
    assert not {"torch", "faiss", "fastapi", "transformers"} & set(loaded)


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    one = f'[llm.{{}}]\nmodel = "m"\n[llm.{{}}.managed]\nweights = "{tmp_path}"\ncommand = "/nowhere/vllm"\n'
    assert "llm.a.managed.command is '/nowhere/vllm', and there is no such" in refused(tmp_path, one.format("a", "a"))
    both = one.format("a", "a") + one.format("b", "b")
    assert "llm.a, llm.b are managed; `quarry up` runs one" in refused(tmp_path, both)
