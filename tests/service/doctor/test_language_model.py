"""Model servers, whoever started them."""

import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from service.doctor.check import Finding, Status
from service.doctor.language_model import look_at_llm
from service.doctor.managed_server import look_at_managed
from service.doctor.sockets import look_at_socket
from service.llm_settings import LlmSettings, ManagedSettings

Failed = Callable[[Iterable[Finding]], Finding]
ModelServer = Callable[..., str]


def looked_at(url: str, **settings: object) -> list[Finding]:
    llm = LlmSettings(**{"url": url, "model": "m", **settings})
    return list(look_at_llm("main", llm, url))


def test_a_server_as_the_settings_have_it(model_server: ModelServer) -> None:
    found = looked_at(model_server())
    assert [finding.status for finding in found] == [Status.OK] * 3
    assert "a token came after" in found[-1].found


def test_a_server_that_is_not_there(failed: Failed) -> None:
    with socket.socket() as taken:  # bound, so that nobody else listens there, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = failed(looked_at(url))
        assert f"{url} cannot be reached: ConnectError" in found.found


def test_a_managed_server_may_be_down(tmp_path: Path) -> None:
    llm = LlmSettings(model="m", managed=ManagedSettings(weights=tmp_path))
    (found,) = look_at_llm("main", llm, f"unix://{tmp_path / 'llm.sock'}")
    assert (found.status, "quarry up" in found.advice) == (Status.WARNING, True)


def test_another_model(model_server: ModelServer, failed: Failed) -> None:
    found = failed(looked_at(model_server(model="other")))
    assert "serves 'other', not 'm'" in found.found


def test_a_smaller_context(model_server: ModelServer) -> None:
    (found,) = [each for each in looked_at(model_server(context=4096)) if each.status is not Status.OK]
    assert found.status is Status.WARNING
    assert found.found == "the server takes 4096 tokens, llm.main.context is 8192"
    assert "4096 is used; set llm.main.context to it" in found.advice


@pytest.mark.parametrize("context", [None, 8192, 16_384])
def test_a_context_that_will_do(model_server: ModelServer, context: int | None) -> None:
    assert {finding.status for finding in looked_at(model_server(context=context))} == {Status.OK}


@pytest.mark.parametrize("says", [{"choices": []}, {"error": {"message": "no"}}, []])
def test_a_server_that_says_nothing(model_server: ModelServer, failed: Failed, says: object) -> None:
    assert failed(looked_at(model_server(says=says))).name == "llm main"


def test_a_server_that_refuses_the_key(model_server: ModelServer, failed: Failed) -> None:
    found = failed(looked_at(model_server(status=401), key="sk-secret"))
    assert "replied 401" in found.found
    assert "sk-secret" not in str(found)


def test_a_command_and_weights(weights: Path, tmp_path: Path) -> None:
    command = _command(tmp_path, "print('0.32.0')")
    command_, folder = look_at_managed("main", ManagedSettings(weights=weights, command=command))
    assert (command_.status, folder.status) == (Status.OK, Status.OK)
    assert "version 0.32.0" in command_.found


def test_a_command_that_is_not_there(weights: Path, tmp_path: Path, failed: Failed) -> None:
    found = failed(look_at_managed("main", ManagedSettings(weights=weights, command=tmp_path / "vllm")))
    assert "is no executable" in found.found


def test_a_command_that_fails(weights: Path, tmp_path: Path, failed: Failed) -> None:
    command = _command(tmp_path, "raise SystemExit('no module named torch')")
    found = failed(look_at_managed("main", ManagedSettings(weights=weights, command=command)))
    assert "ended with 1: no module named torch" in found.found


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_weights_that_are_not_whole(weights: Path, tmp_path: Path, failed: Failed, missing: str) -> None:
    (weights / missing).unlink()
    command = _command(tmp_path, "print('0.32.0')")
    found = failed(look_at_managed("main", ManagedSettings(weights=weights, command=command)))
    assert found.name == "llm main weights"
    assert missing.partition(".")[0].replace("model", "safetensors") in found.found


def _command(folder: Path, program: str) -> Path:
    path = folder / "vllm"
    path.write_text(f"#!{sys.executable}\n{program}\n")
    path.chmod(0o755)
    return path


def test_a_socket_path_that_is_too_long(tmp_path: Path, failed: Failed) -> None:
    path = tmp_path / ("s" * 108)
    found = failed(look_at_socket("main", path, managed=True))
    assert f"takes {len(str(path)) + 1} bytes; the system takes 108" in found.found


def test_the_longest_path_that_fits_can_be_bound() -> None:
    path = Path(f"/tmp/{'s' * 102}")  # noqa: S108  the shortest directory there is
    assert len(str(path)) == 107
    (found,) = look_at_socket("main", path, managed=False)
    assert found.status is Status.OK
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(path))
        finally:
            path.unlink(missing_ok=True)
        with pytest.raises(OSError, match="too long"):
            listener.bind(f"{path}s")


def test_a_socket_with_and_without_a_listener(tmp_path: Path) -> None:
    path = tmp_path / "llm.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (heard,) = look_at_socket("main", path, managed=False)
        assert (heard.status, heard.found) == (Status.OK, f"{path} has a listener")
    stale = [next(look_at_socket("main", path, managed=managed)) for managed in (True, False)]
    assert [finding.status for finding in stale] == [Status.OK, Status.WARNING]
    assert all("is stale" in finding.found for finding in stale)


def test_a_file_that_is_no_socket(tmp_path: Path, failed: Failed) -> None:
    path = tmp_path / "llm.sock"
    path.touch()
    assert "is no socket" in failed(look_at_socket("main", path, managed=True)).found


def test_the_directory_of_a_socket(tmp_path: Path, failed: Failed) -> None:
    path = tmp_path / "run" / "llm.sock"
    (made_by_up,) = look_at_socket("main", path, managed=True)
    assert made_by_up.status is Status.OK
    assert "is no directory" in failed(look_at_socket("main", path, managed=False)).found
