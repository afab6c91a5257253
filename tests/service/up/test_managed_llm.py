"""Which server the parent runs, and with what."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.capacity.allotment import Allotment
from service.settings import Settings
from service.telemetry.gpu import GpuMemory, GpuReading, GpuState
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


LLAMA_1B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
NO_GPU = GpuState(absent="a test")


def card(gib: int, device: int = 0) -> GpuReading:
    total = gib * 1024**3
    return GpuReading(f"cuda:{device}", "GPU-a", "a card", GpuMemory(total, 0, total))


def settings(tmp_path: Path, *names: str, url: str | None = None, **managed: Any) -> Settings:  # noqa: ANN401
    llm = {"model": "m", "url": url, "managed": {"weights": tmp_path, **managed}}
    other = {"other": {"model": "o", "url": "http://127.0.0.1:1"}}
    return Settings(data_dir=tmp_path / "data", llm={**dict.fromkeys(names, llm), **other})


def test_a_server_that_is_not_managed_is_left_alone(tmp_path: Path) -> None:
    assert chosen(settings(tmp_path), {}, NO_GPU) is None


def test_several_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(UpError, match=r"llm\.a, llm\.b are managed; `quarry up` runs one"):
        chosen(settings(tmp_path, "b", "a"), {}, NO_GPU)


def test_the_executable_is_found_on_the_path(tmp_path: Path, command: Path) -> None:
    llm = chosen(settings(tmp_path, "main"), {"PATH": str(command.parent)}, NO_GPU)
    assert llm
    assert llm.command(None)[:3] == [str(command), "serve", str(tmp_path)]
    assert llm.socket == tmp_path / "data" / "run" / "main.sock"
    with pytest.raises(UpError, match=r"llm\.main\.managed\.command is 'vllm', and there is no such executable"):
        chosen(settings(tmp_path, "main"), {"PATH": str(tmp_path)}, NO_GPU)


def test_weights_that_are_not_there_and_a_socket_too_long_are_refused(tmp_path: Path, command: Path) -> None:
    with pytest.raises(UpError, match=r"weights is '/nowhere', and there is no such folder"):
        chosen(settings(tmp_path, "main", command=command, weights="/nowhere"), {}, NO_GPU)
    with pytest.raises(UpError, match=r"121 bytes; the limit is 107"):
        chosen(settings(tmp_path, "main", command=command, url=f"unix:///{'x' * 120}"), {}, NO_GPU)


def test_cuda_devices_are_chosen_among_those_that_are_visible(
    tmp_path: Path, command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def devices(visible: str | None) -> str | None:
        environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        llm = chosen(settings(tmp_path, "main", command=command, devices=(1, 0)), environment, NO_GPU)
        return llm.environment.get("CUDA_VISIBLE_DEVICES") if llm else None

    monkeypatch.setattr(managed_llm, "_NVIDIA", tmp_path / "no driver")
    assert devices(None) is None
    monkeypatch.setattr(managed_llm, "_NVIDIA", tmp_path)
    assert devices(None) == "1,0"
    assert devices("GPU-a, GPU-b") == "GPU-b,GPU-a"
    with pytest.raises(UpError, match=r"devices names 1, but CUDA_VISIBLE_DEVICES is '3'"):
        devices("3")


def test_memory_is_allotted_by_the_plan_for_its_smallest_card(tmp_path: Path, command: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_1B))
    configured = settings(tmp_path, "main", command=command)

    def flags(*cards: GpuReading) -> dict[str, str]:
        llm = chosen(configured, {}, GpuState(gpus=cards))
        assert llm
        return dict(pairwise(llm.command(None)))

    wide, narrow = flags(card(80), card(24, device=1)), flags(card(24))
    assert 0 < float(narrow["--gpu-memory-utilization"]) < 1
    assert 0 < int(narrow["--kv-cache-memory-bytes"]) < int(wide["--kv-cache-memory-bytes"])
    with pytest.raises(UpError, match=r"llm\.main does not fit beside its neighbours"):
        chosen(configured, {}, GpuState(gpus=[card(2)]))


def test_a_card_whose_memory_is_not_known_is_refused_if_it_is_used(tmp_path: Path, command: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_1B))
    lost = GpuReading("cuda:1", "GPU-b", "a card", trouble="it is lost")
    assert chosen(settings(tmp_path, "main", command=command), {}, GpuState(gpus=[card(80), lost]))
    with pytest.raises(UpError, match=r"the memory of cuda:1 is not known \(it is lost\)"):
        chosen(settings(tmp_path, "main", command=command, devices=(1,)), {}, GpuState(gpus=[card(80), lost]))


def test_without_a_card_vllm_takes_what_the_operator_wants(tmp_path: Path, command: Path) -> None:
    llm = chosen(settings(tmp_path, "main", command=command, kv_cache_bytes=7), {}, NO_GPU)
    assert llm
    assert llm.allotment == Allotment(None, 7)
