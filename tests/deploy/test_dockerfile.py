"""Dockerfile.cuda: what it promises, as far as it can be read."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from dockerfile_parse import DockerfileParser
from typer.main import get_command

from deployments import systemd
from service.cli.main import app
from service.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile.cuda"


class Instruction(NamedTuple):
    stage: str
    name: str
    value: str

    @property
    def words(self) -> list[str]:
        return [word for word in self.value.split() if not word.startswith("--")]

    @property
    def flags(self) -> list[str]:
        return [word for word in self.value.split() if word.startswith("--")]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    with DOCKERFILE.open("rb") as stream:
        structure = DockerfileParser(fileobj=stream).structure
    found, stage = [], ""
    for part in structure:
        if part["instruction"] == "FROM":
            stage = part["value"].split()[-1]
        if part["instruction"] != "COMMENT":
            found.append(Instruction(stage, part["instruction"], part["value"]))
    return found


def of_runtime(instructions: list[Instruction], name: str) -> list[str]:
    """Values of an instruction in the stage that is the image."""
    return [each.value for each in instructions if (each.stage, each.name) == ("runtime", name)]


def variables(instructions: list[Instruction]) -> dict[str, str]:
    pairs = (word.split("=", 1) for value in of_runtime(instructions, "ENV") for word in shlex.split(value))
    return dict(pair for pair in pairs if len(pair) == 2)


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets it into the build: the last pattern that fits it or a folder above it decides."""
    sent = True
    paths = [path, *map(str, PurePosixPath(path).parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        fits = [fnmatch(each, pattern) or fnmatch(f"/{each}", pattern.replace("**/", "*/")) for each in paths[:-1]]
        if line and not line.startswith("#") and any(fits):
            sent = line.startswith("!")
    return sent


def test_its_stages(instructions: list[Instruction]) -> None:
    stages = [each.stage for each in instructions if each.name == "FROM"]
    assert stages == ["base", "quarry", "vllm", "models", "runtime"]
    for each in instructions:
        for source in (flag.removeprefix("--from=") for flag in each.flags if flag.startswith("--from=")):
            assert source in stages[: stages.index(each.stage)]


def test_the_base_is_the_python_of_the_locks(instructions: list[Instruction]) -> None:
    (base,) = (each.value for each in instructions if each.name == "ARG" and not each.stage)
    (python,) = re.findall(r"^python=(\S+)$", (ROOT / "constraints" / "locks").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"BASE=python:{re.escape(python)}-slim-\w+", base)


def test_it_runs_as_nobody_special(instructions: list[Instruction]) -> None:
    names = [each.name for each in instructions if each.stage == "runtime"]
    (user,) = of_runtime(instructions, "USER")
    assert re.fullmatch(
        r"[1-9]\d{3,}:[1-9]\d{3,}", user
    )  # a number: Kubernetes cannot tell of a name that it is not root
    assert "RUN" not in names[names.index("USER") :]
    assert "COPY" not in names[names.index("USER") :]
    assert not [each for each in instructions if "sudo" in each.value or "chmod u+s" in each.value]


def test_nothing_is_installed_but_by_hash_or_from_the_tree(instructions: list[Instruction]) -> None:
    installs = [
        command
        for each in instructions
        if each.name == "RUN"
        for command in each.value.split("&&")
        if re.search(r"\bpip\b.*\binstall\b", command)
    ]
    assert len(installs) == 3
    locks = []
    for command in installs:
        assert "--no-deps" in command
        if "--no-index" in command:
            assert command.rstrip().endswith(" .")
            continue
        assert "--require-hashes" in command
        assert "--only-binary :all:" in command
        locks += re.findall(r"--requirement (\S+)", command)
    assert locks == ["constraints/cuda.lock", "constraints/vllm.lock"]


def test_nothing_is_downloaded_by_name(instructions: list[Instruction]) -> None:
    assert not [each for each in instructions if each.name == "ADD"]
    words = r"://|\bcurl\b|\bwget\b|\bgit\b|--extra-index-url|--index-url|--trusted-host"
    assert not [each for each in instructions if re.search(words, each.value)]


def test_what_it_copies_is_there_and_is_sent(instructions: list[Instruction]) -> None:
    copied = [
        source
        for each in instructions
        if each.name == "COPY" and not any(flag.startswith("--from=") for flag in each.flags)
        for source in each.words[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert is_sent(source)
    assert not [path for path in (".git", ".venv/bin", "quarry-data", "tests", "deploy/compose") if is_sent(path)]
    assert not is_sent("service/__pycache__")


def test_it_copies_what_the_wheel_is_made_of(instructions: list[Instruction]) -> None:
    copied = {
        word for each in instructions if (each.stage, each.name) == ("quarry", "COPY") for word in each.words[:-1]
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert copied >= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *packages}


def test_its_commands_are_quarrys(instructions: list[Instruction]) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    (entry,), (command,), (check,) = (of_runtime(instructions, name) for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    assert json.loads(entry) == ["tini", "-s", "--", "quarry"]
    (given,) = json.loads(command)
    asked = json.loads(check.partition("CMD ")[2])
    assert given in commands
    assert asked[0] == "quarry"
    assert asked[1] in commands
    assert of_runtime(instructions, "STOPSIGNAL") == ["SIGTERM"]


def test_its_settings_are_quarrys(instructions: list[Instruction], monkeypatch: pytest.MonkeyPatch) -> None:
    set_ = variables(instructions)
    for name, value in set_.items():
        if name.startswith("QUARRY_"):
            monkeypatch.setenv(name, value)
    settings = load_settings(None)
    volumes = json.loads(of_runtime(instructions, "VOLUME")[0])
    assert str(settings.data_dir) in volumes
    assert set_["HOME"] in volumes
    assert settings.server.host == "0.0.0.0"
    assert of_runtime(instructions, "EXPOSE") == [str(settings.server.port)]


def test_nothing_is_fetched_and_nothing_is_reported_at_run_time(instructions: list[Instruction]) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "VLLM_NO_USAGE_STATS": "1"}
    assert variables(instructions).items() >= offline.items()


def test_vllm_compiles_no_kernel_by_a_toolkit_that_is_not_there(instructions: list[Instruction]) -> None:
    assert "CUDA_HOME" not in variables(instructions)
    off = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}
    assert variables(instructions).items() >= off.items()
    assert systemd.environment(systemd.SERVER).items() >= off.items()


def test_it_holds_no_secret(instructions: list[Instruction]) -> None:
    assert not [each for each in instructions if re.search(r"(?i)secret|token|password|_key\b", each.value)]
