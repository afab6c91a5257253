"""docs/deploying.md: what it types in its order can be typed then."""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from markdown_page import ROOT, Page

PAGE = Page(ROOT / "docs" / "deploying.md")
DEPLOY = ROOT / "deploy"
LLAMA = ROOT / "tests" / "service" / "capacity" / "fixtures" / "llama-3.1-8b.json"
IMAGE = "registry.example/quarry:0.1.0"
# As root, whose prompt is a comment for a shell.
LINES = [line.lstrip("#$ ") for block in PAGE.blocks if block.language == "console" for line in block.text.splitlines()]


def line_with(part: str) -> str:
    (found,) = (line for line in LINES if part in line)
    return found


def run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is missing")
    return subprocess.run(
        [bash, "-euo", "pipefail", "-c", script], cwd=folder, env=os.environ | variables, check=False, timeout=500,
        capture_output=True, text=True,
    )  # fmt: skip


def test_models_are_there_before_they_are_planned() -> None:
    text = PAGE.path.read_text()
    assert text.index("\n## Image, bundle and models\n") < text.index("$ quarry plan --gpu-memory")


def test_the_plan_of_the_settings_can_be_typed(tmp_path: Path) -> None:
    settings = (DEPLOY / "quarry.toml").read_text()
    weights = Path(tomllib.loads(settings)["llm"]["main"]["managed"]["weights"])
    model = tmp_path / weights.relative_to("/")
    model.mkdir(parents=True)
    shutil.copy(LLAMA, model / "config.json")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "quarry.toml").write_text(settings.replace(f'"{weights}"', f'"{model}"'))
    quarry, *words = shlex.split(line_with("quarry plan"))
    done = run(shlex.join([str(Path(sys.executable).with_name(quarry)), *words]), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It fits." in done.stdout


@pytest.mark.parametrize("file", ["load-models.yaml", "restore.yaml"])
def test_a_pod_of_its_own_has_the_image_of_the_registry(file: str) -> None:
    command = line_with(f" {file} |").removesuffix("| kubectl apply -f -")
    done = run(command, DEPLOY / "kubernetes", IMAGE=IMAGE)
    (container,) = yaml.safe_load(done.stdout)["spec"]["containers"]
    assert container["image"] == IMAGE
    assert f"export IMAGE={IMAGE}" in LINES


def test_whoever_waits_for_an_image_waits_for_minutes() -> None:
    waits = [line for line in LINES if "kubectl" in line and " wait " in line]
    assert len(waits) >= 3
    assert [line for line in waits if "--timeout=" not in line] == []


def test_a_node_without_a_gpu_has_no_language_model_to_keep(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "quarry.toml", tmp_path)
    done = run(line_with("sed --in-place '/^").replace("/etc/quarry/", ""), tmp_path)
    assert done.returncode == 0, done.stderr
    left = (tmp_path / "quarry.toml").read_text()
    assert "llm" not in tomllib.loads(left)
    assert {"[server]", "# [index]"} <= set(left.splitlines())


def test_a_file_that_a_command_reads_was_made_by_one_before() -> None:
    keys = [number for number, line in enumerate(LINES) if "> admin-key" in line]
    (secret,) = (number for number, line in enumerate(LINES) if "--from-file=admin-key" in line)
    assert [number < secret for number in keys] == [True]
