"""Model servers: the real one, the fake one, and what stands before them.

- ``vllm``: one real server that the tests of a session share. What breaks a server starts its own with ``start_vllm``.
- ``start_vllm(*flags)``: a real server of the tiny model, ready, ended with the session.
- ``prompter``: between Quarry and ``vllm``; ``prompter.text`` is what the model says. It listens at
  ``prompter_of_all.url``, through which a Quarry server of several tests asks.
- ``serve``, ``spawn``: `quarry serve` processes, as in tests/e2e.
- ``server``: the contract's view of a server, once the fake one and once the real one.

``VLLM_COMMAND`` names the executable; without it `.venv-vllm/bin/vllm` is taken, which ``make test-vllm`` installs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from e2e.conftest import serve, serve_module, spawn  # noqa: F401  fixtures
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import fake_vllm, served
from vllm_on_cpu.prompter import Prompter, PrompterServer
from vllm_on_cpu.server import CONTEXT, MAX_REQUESTS, MAX_SEQS, MODEL, Subject, VllmServer, start

_INSTALLED = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "vllm"


@pytest.fixture(scope="session")
def vllm_command() -> Path:
    command = Path(os.environ.get("VLLM_COMMAND", _INSTALLED)).absolute()
    if not command.exists():
        pytest.skip(f"there is no {command}: make test-vllm installs vLLM, or VLLM_COMMAND names its executable")
    return command


@pytest.fixture(scope="session")
def tiny_weights(request: pytest.FixtureRequest) -> Path:
    # torch and transformers take seconds to import, which a session that skips these tests need not pay.
    from vllm_on_cpu.tiny_llama import tiny_llama  # noqa: PLC0415

    return tiny_llama(request.config.cache.mkdir("tiny-llama"))


@pytest.fixture(scope="session")
def start_vllm(
    vllm_command: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., VllmServer]]:
    with ExitStack() as stack:

        def started(*flags: str) -> VllmServer:
            server = start(vllm_command, tiny_weights, tmp_path_factory.mktemp("vllm"), flags)
            stack.callback(server.end)
            server.wait_ready()
            return server

        yield started


@pytest.fixture(scope="session")
def vllm(start_vllm: Callable[..., VllmServer]) -> VllmServer:
    return start_vllm()


@pytest.fixture(scope="session")
def prompter_of_all(vllm: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrompterServer]:
    app = Prompter(str(vllm.socket))
    with served(app, tmp_path_factory.mktemp("prompter") / "vllm.sock") as url:
        yield PrompterServer(url, app)


@pytest.fixture
def prompter(prompter_of_all: PrompterServer) -> Iterator[Prompter]:
    yield prompter_of_all.app
    prompter_of_all.app.text, prompter_of_all.app.extra = None, {}


@pytest.fixture(scope="session")
def fake_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The fake server, started as the real one is."""
    options = Options(MODEL, CONTEXT, MAX_SEQS, MAX_REQUESTS, itl_ms=5)
    with fake_vllm(options, tmp_path_factory.mktemp("fake") / "vllm.sock") as fake:
        yield fake.url


@pytest.fixture(params=["fake", pytest.param("real", marks=[pytest.mark.vllm, pytest.mark.timeout(1200)])])
def server(request: pytest.FixtureRequest) -> Iterator[Subject]:
    url = request.getfixturevalue("fake_url") if request.param == "fake" else request.getfixturevalue("vllm").url
    transport = httpx.HTTPTransport(uds=url.removeprefix("unix://"))
    with httpx.Client(base_url="http://vllm", transport=transport, timeout=300) as client:
        yield Subject(url, client)
