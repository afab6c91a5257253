"""The language model's server that is measured with: one that runs, or the project's fake one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from service.cli.bench.answer.material import PROJECT, NoMaterialError
from service.cli.bench.server import running

_CONTEXT = 8192
# Some sentences with a citation, none of which costs the fake server any time.
_SAID = (
    "It is described in the first passage [1]. The others say more of the same, and what they say agrees with it. " * 10
).strip()
# Apart, so that each token is read, handed on and sent by itself, as from a model that takes its time.
_APART_MS = 2.0


@dataclass(frozen=True, slots=True)
class Llm:
    """A server that speaks OpenAI's chat protocol.

    Attributes:
        url: ``http://host:port`` or ``unix:///path``.
        model: the first it lists.
        is_fake: it is the project's own, which takes no time to think.
    """

    url: str
    model: str
    server: Literal["openai", "vllm"]
    is_fake: bool

    @classmethod
    def at(cls, url: str, *, is_fake: bool = False) -> "Llm":
        """What the server says of itself.

        Raises:
            httpx.HTTPError: it says nothing.
        """
        with _client(url) as http:
            card = http.get("/v1/models").raise_for_status().json()["data"][0]
        return cls(url, card["id"], "vllm" if card.get("owned_by") == "vllm" else "openai", is_fake)


@contextmanager
def fake_llm(folder: Path) -> Iterator[Llm]:
    """The fake server in a process of its own, on a Unix socket in ``folder``, without any delay.

    Raises:
        NoMaterialError: only the packages are installed, without it.
        ServerStartError: it did not come up.
    """
    if not (PROJECT / "loadtests" / "fake_vllm").is_dir():
        raise NoMaterialError(f"{PROJECT} has no fake model server: give --llm-url")
    socket = folder / "llm.sock"
    command = [sys.executable, "-m", "loadtests.fake_vllm", "--uds", str(socket)]
    command += ["--ttft-ms", "0", "--itl-ms", "0", "--max-model-len", str(_CONTEXT)]
    with running(command, folder / "llm.log", lambda: _order(socket), PROJECT):
        yield Llm.at(f"unix://{socket}", is_fake=True)


def tell_apart(llm: Llm) -> None:
    """Let the fake server write its next answers token by token."""
    _say(llm.url, itl_ms=_APART_MS)


def _order(socket: Path) -> None:
    if not socket.exists():  # httpx would leave a socket of its own open each time it finds none
        raise httpx.ConnectError(f"{socket} is not there yet")
    _say(f"unix://{socket}")


def _say(url: str, **rule: float) -> None:
    with _client(url) as http:
        http.post("/fake/script", json={"rules": [{"text": _SAID, **rule}]}).raise_for_status()


def _client(url: str) -> httpx.Client:
    if url.startswith("unix://"):
        transport = httpx.HTTPTransport(uds=url.removeprefix("unix://"))
        return httpx.Client(base_url="http://localhost", transport=transport, trust_env=False)
    return httpx.Client(base_url=url, trust_env=False)
