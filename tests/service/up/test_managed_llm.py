"""Which server the parent runs, and with what."""

from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.up import managed_llm
from service.up.errors import UpError
from service.up.managed_llm import chosen


@pytest.fixture
def command(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "vllm"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def settings(tmp_path: Path, *names: str, url: str | None = None, **managed: Any) -> Settings:  # noqa: ANN401
    llm = {"model": "m", "url": url, "managed": {"weights": tmp_path, **managed}}
    other = {"other": {"model": "o", "url": "http://127.0.0.1:1"}}
    return Settings(data_dir=tmp_path / "data", llm={**dict.fromkeys(names, llm), **other})


def test_a_server_that_is_not_managed_is_left_alone(tmp_path: Path) -> None:
    assert chosen(settings(tmp_path), {}) is None


def test_several_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(UpError, match=r"llm\.a, llm\.b are managed; `quarry up` runs one"):
        chosen(settings(tmp_path, "b", "a"), {})


def test_the_executable_is_found_on_the_path(tmp_path: Path, command: Path) -> None:
    llm = chosen(settings(tmp_path, "main"), {"PATH": str(command.parent)})
    assert llm
    assert llm.command(None)[:3] == [str(command), "serve", str(tmp_path)]
    assert llm.socket == tmp_path / "data" / "run" / "main.sock"
    with pytest.raises(UpError, match=r"llm\.main\.managed\.command is 'vllm', and there is no such executable"):
        chosen(settings(tmp_path, "main"), {"PATH": str(tmp_path)})


def test_weights_that_are_not_there_and_a_socket_too_long_are_refused(tmp_path: Path, command: Path) -> None:
    with pytest.raises(UpError, match=r"weights is '/nowhere', and there is no such folder"):
        chosen(settings(tmp_path, "main", command=command, weights="/nowhere"), {})
    with pytest.raises(UpError, match=r"121 bytes; the limit is 107"):
        chosen(settings(tmp_path, "main", command=command, url=f"unix:///{'x' * 120}"), {})


def test_cuda_devices_are_chosen_among_those_that_are_visible(
    tmp_path: Path, command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def devices(visible: str | None) -> str | None:
        environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        llm = chosen(settings(tmp_path, "main", command=command, devices=(1, 0)), environment)
        return llm.environment.get("CUDA_VISIBLE_DEVICES") if llm else None

    monkeypatch.setattr(managed_llm, "_NVIDIA", tmp_path / "no driver")
    assert devices(None) is None
    monkeypatch.setattr(managed_llm, "_NVIDIA", tmp_path)
    assert devices(None) == "1,0"
    assert devices("GPU-a, GPU-b") == "GPU-b,GPU-a"
    with pytest.raises(UpError, match=r"devices names 1, but CUDA_VISIBLE_DEVICES is '3'"):
        devices("3")
