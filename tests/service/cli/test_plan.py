"""quarry plan, in process."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.console import out
from service.cli.main import app

FIXTURES = Path(__file__).parents[1] / "capacity" / "fixtures"
LLAMA = str(FIXTURES / "llama-3.1-8b.json")
LARGE = str(FIXTURES / "llama-3.1-70b.json")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have set another width before the console was made."""
    monkeypatch.setattr(out, "_width", 160)


def quarry_plan(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def reply(done: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_what_fits_is_told_with_the_command_and_exit_code_0() -> None:
    done = quarry_plan("--gpu-memory", "141GiB", "--rows", "10e6", "--dim", "1024", "--llm", LLAMA)
    assert done.exit_code == 0, done.output
    for said in (
        *("cuda:0, 141.00 GiB", "rebuild_headroom", "8,030,261,248 parameters", "It fits."),
        *("estimate", "exact", "assumed, not measured"),
        *("vllm serve", "--kv-cache-memory-bytes", "--gpu-memory-utilization", "CUDA_VISIBLE_DEVICES=0"),
        "QUARRY_INDEX__DEVICE_BYTES=",
    ):
        assert said in done.stdout
    assert "sequences of 8,192 tokens at once" in done.stdout


def test_what_does_not_fit_is_told_with_what_to_change_and_exit_code_2() -> None:
    done = quarry_plan("--gpu-memory", "141GiB", "--rows", "10e6", "--dim", "1024", "--llm", LARGE)
    assert done.exit_code == 2, done.output
    assert "It does not fit." in done.stdout
    assert "missing" in done.stdout
    assert "--gpus 2" in done.stdout
    assert "vllm serve" not in done.stdout
    assert quarry_plan("--gpu-memory", "141GiB", "--rows", "10e6", "--llm", LARGE, "--gpus", "2").exit_code == 0


def test_json_is_one_object_that_adds_up() -> None:
    arguments = ("--gpu-memory", "80GB", "--rows", "1e6", "--llm", LLAMA, "--gpus", "2", "--json")
    done = quarry_plan(*arguments, "--context", "4096", "--kv-dtype", "fp8", "--max-num-seqs", "32")
    told = reply(done)
    (model,) = told["llms"]
    assert (done.exit_code, told["fits"], told["changes"], len(told["cards"])) == (0, True, [], 2)
    for card in told["cards"]:
        assert sum(line["bytes"] for line in card["lines"]) == card["total_bytes"] == 80 * 10**9 - card["left_bytes"]
    assert (model["context"], model["max_num_seqs"], model["kv_token_bytes"]) == (4096, 32, 32 * 2 * 4 * 128)
    assert model["command"][model["command"].index("--kv-cache-dtype") + 1] == "fp8"
    assert model["command"][model["command"].index("--tensor-parallel-size") + 1] == "2"
    assert told["settings"]["index.device_bytes"] == told["index"]["device_bytes"]


def test_settings_say_the_same_as_options(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(Path(LLAMA).read_text())
    config = tmp_path / "quarry.toml"
    config.write_text(f'[llm.main]\nmodel = "llama"\n[llm.main.managed]\nweights = "{tmp_path}"\nmax_num_seqs = 32\n')
    common = ("--gpu-memory", "80GiB", "--rows", "1e6", "--json")
    by_file = reply(quarry_plan(*common, "--config", config))
    by_option = reply(quarry_plan(*common, "--llm", tmp_path, "--max-num-seqs", "32"))
    assert by_file["llms"][0]["kv_tokens"] == by_option["llms"][0]["kv_tokens"]
    assert by_file["llms"][0]["name"] == "llama"
    assert "/main.sock" in " ".join(by_file["llms"][0]["command"])


def test_several_models_and_no_index() -> None:
    told = reply(quarry_plan("--gpu-memory", "80GiB", "--gpus", "2", "--llm", LLAMA, "--llm", LARGE, "--json"))
    assert [model["name"] for model in told["llms"]] == ["llama-3.1-8b", "llama-3.1-70b"]
    assert told["index"] is None
    assert told["fits"] is (not told["changes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--gpu-memory is ''"),
        (("--gpu-memory", "plenty"), "--gpu-memory is 'plenty': give a size such as 141GiB"),
        (("--gpu-memory", "-1GiB"), "--gpu-memory is '-1GiB'"),
        (("--gpu-memory", "0"), "--gpu-memory is '0'"),
        (("--gpu-memory", "1e40"), "--gpu-memory is '1e40'"),
        (("--gpu-memory", "80GB", "--rows", "ten"), "--rows is 'ten': give a number such as 1000000 or 10e6"),
        (("--gpu-memory", "80GB", "--rows", "1e15"), "--rows is 1000000000000000"),
        (("--gpu-memory", "80GB", "--rows", "1e6", "--dim", "0"), "--dim is '0'"),
        (("--gpu-memory", "80GB", "--rows", "1e6", "--dim", "1e6"), "--dim is 1000000"),
        (("--gpu-memory", "80GB", "--gpus", "0"), "--gpus is '0'"),
        (("--gpu-memory", "80GB", "--gpus", "17"), "17 cards"),
        (("--gpu-memory", "80GB", "--refine", "moon"), "--refine is 'moon': known are auto, card, host"),
        (("--gpu-memory", "80GB", "--embedder", "no-such-model"), "no-such-model"),
        (("--gpu-memory", "80GB", "--config", "/no/such.toml"), "no such file"),
        (("--gpu-memory", "80GB", "--llm", "/no/such/model"), "cannot be read as a model's config.json"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--llm", LLAMA), "two models would be served as 'llama-3.1-8b'"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--context", "131073"), "the 131072 that llama-3.1-8b was made for"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--context", "1"), "--context is 1"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--max-num-seqs", "0"), "--max-num-seqs is '0'"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--dtype", "int3"), "dtype is 'int3'"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--kv-dtype", "int3"), "dtype is 'int3'"),
        (("--gpu-memory", "80GB", "--llm", LLAMA, "--quantization", "awq"), "--quantization is 'awq'"),
        (("--gpu-memory", "80GB", "--weights-bytes", "1GB"), "--weights-bytes is of one model"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(arguments: tuple[str, ...], said: str) -> None:
    done = quarry_plan(*arguments)
    assert done.exit_code == 1, done.output
    assert said in done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_options_of_models_are_refused_beside_a_file(tmp_path: Path) -> None:
    config = tmp_path / "quarry.toml"
    config.write_text("")
    for option, value in (("--llm", LLAMA), ("--context", "4096"), ("--weights-bytes", "1GB")):
        done = quarry_plan("--gpu-memory", "80GB", "--config", config, option, value)
        assert (done.exit_code, f"{option} is for models of the command line" in done.stderr) == (1, True)


def test_what_may_run_and_what_has_room_are_both_told() -> None:
    arguments = ("--gpu-memory", "80GiB", "--llm", LLAMA, "--max-num-seqs", "2")
    (model,) = reply(quarry_plan(*arguments, "--json"))["llms"]
    assert (model["sequences"], model["max_num_seqs"]) == (2, 2)
    assert model["sequences_with_room"] > 2
    said = f"room for {model['sequences_with_room']} sequences of 8,192 tokens at once; --max-num-seqs lets 2 run"
    assert said in " ".join(quarry_plan(*arguments).stdout.split())


def test_the_plan_as_settings_is_the_same_plan(tmp_path: Path) -> None:
    weights = tmp_path / "llama"
    weights.mkdir()
    (weights / "config.json").write_text(Path(LLAMA).read_text())
    memory = ("--gpu-memory", "80GiB", "--rows", "1e6")
    planned = reply(quarry_plan(*memory, "--llm", weights, "--kv-dtype", "fp8", "--json"))
    config = tmp_path / "quarry.toml"
    config.write_text(planned["configuration"])
    (again,) = reply(quarry_plan(*memory, "--config", config, "--json"))["llms"]
    assert {**again, "command": None} == {**planned["llms"][0], "command": None}
    said = quarry_plan(*memory, "--llm", weights).stdout
    assert "[llm.main.managed]" in said
    assert "quarry up --config" in said


def test_several_language_models_are_run_by_hand() -> None:
    told = reply(quarry_plan("--gpu-memory", "80GiB", "--gpus", "4", "--llm", LLAMA, "--llm", LARGE, "--json"))
    assert "managed" not in told["configuration"]
    for model in told["llms"]:
        socket = model["command"][model["command"].index("--uds") + 1]
        assert f'url = "unix://{socket}"' in told["configuration"]


def test_the_command_names_a_folder_whatever_the_file_is_called() -> None:
    (model,) = reply(quarry_plan("--gpu-memory", "80GiB", "--llm", LLAMA, "--json"))["llms"]
    assert model["command"][:3] == ["vllm", "serve", str(FIXTURES)]
