"""The command line of vLLM: what is always there, what a user changes, what an older version does not know."""

from typing import Any

import pytest

from service.capacity.allotment import Allotment
from service.llm_settings import LlmSettings
from service.up.vllm_command import vllm_command

URL = "unix:///run/main.sock"
ALLOTMENT = Allotment(0.62, 80 << 30)


def settings(**managed: Any) -> LlmSettings:  # noqa: ANN401
    return LlmSettings.model_validate(
        {"model": "main", "context": 4096, "managed": {"weights": "/models/m", **managed}}
    )


def value_of(command: list[str], flag: str) -> str:
    assert command.count(flag) == 1, command
    return command[command.index(flag) + 1]


def test_the_command_has_every_flag_that_matters() -> None:
    assert vllm_command(settings(command="/opt/vllm/bin/vllm"), URL, ALLOTMENT) == [
        *("/opt/vllm/bin/vllm", "serve", "/models/m"),
        *("--uds", "/run/main.sock"),
        *("--served-model-name", "main"),
        *("--max-model-len", "4096"),
        *("--max-num-seqs", "64"),
        *("--max-num-queued-reqs", "80"),
        *("--scheduling-policy", "priority"),
        *("--load-format", "safetensors"),
        *("--shutdown-timeout", "30"),
        "--enable-per-request-metrics",
        "--enable-prompt-tokens-details",
        *("--gpu-memory-utilization", "0.62"),
        *("--kv-cache-memory-bytes", str(80 << 30)),
    ]


def test_without_a_gpu_no_memory_is_named() -> None:
    assert not [flag for flag in vllm_command(settings(), URL, Allotment()) if "memory" in flag]


def test_several_devices_share_the_model() -> None:
    assert value_of(vllm_command(settings(devices=(0, 2)), URL, ALLOTMENT), "--tensor-parallel-size") == "2"


def test_the_queue_has_room_for_every_answer_that_is_let_through() -> None:
    """vLLM's limit counts what runs too: below the number of our streams it would refuse some of them."""
    wide = settings(max_num_seqs=8).model_copy(update={"max_streams": 200})
    assert int(value_of(vllm_command(wide, URL, ALLOTMENT), "--max-num-queued-reqs")) > 200


@pytest.mark.parametrize(
    ("args", "gone"),
    [
        (("--load-format", "dummy"), "safetensors"),
        (("--load_format=dummy",), "safetensors"),
        (("--kv-cache-memory-bytes=1",), str(80 << 30)),
        (("--device-memory-utilization", "0.5"), "--gpu-memory-utilization"),
        (("-tp", "1"), "--tensor-parallel-size"),
        (("--no-enable-prompt-tokens-details",), "--enable-prompt-tokens-details"),
        (("--disable-log-stats",), "--enable-per-request-metrics"),
    ],
)
def test_arguments_of_the_user_come_last_and_win(args: tuple[str, ...], gone: str) -> None:
    usual = vllm_command(settings(devices=(0, 1)), URL, ALLOTMENT)
    command = vllm_command(settings(devices=(0, 1), args=args), URL, ALLOTMENT)
    assert tuple(command[-len(args) :]) == args
    assert gone in usual
    assert gone not in command


def test_flags_that_the_installed_version_lacks_are_left_out() -> None:
    known = frozenset({"--uds", "--max-model-len"})
    command = vllm_command(settings(args=("--anything",)), URL, ALLOTMENT, known)
    assert command[3:] == ["--uds", "/run/main.sock", "--max-model-len", "4096", "--anything"]


def test_what_cannot_be_run_is_refused() -> None:
    alone = LlmSettings(url="http://localhost:1", model="main")
    with pytest.raises(ValueError, match="'main' is not managed"):
        vllm_command(alone, URL, ALLOTMENT)
    with pytest.raises(ValueError, match="not on 'http://localhost:1'"):
        vllm_command(settings(), "http://localhost:1", ALLOTMENT)
