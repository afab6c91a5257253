"""The load tests are no installed package: they are found from the root of the checkout, however pytest was started."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

_ROOT = Path(__file__).parents[2]
if str(_ROOT) not in sys.path:
    sys.path.append(str(_ROOT))


@dataclass(frozen=True)
class Fake:
    """A server that looks like Quarry, in a process of its own."""

    url: str
    pid: int


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Fake]]:
    """(*arguments of fake_quarry.py) -> a server, until the tests of the module are over."""
    from service.cli.bench.server import free_port, running  # noqa: PLC0415  found from the root, as said

    with ExitStack() as stack:

        def start(*arguments: str) -> Fake:
            port = free_port()
            url = f"{'https' if '--certificate' in arguments else 'http'}://127.0.0.1:{port}"
            command = [sys.executable, str(_ROOT / "tests" / "fake_quarry.py"), str(port), *arguments]

            def is_up() -> None:
                httpx.get(f"{url}/metrics", trust_env=False, verify=False).raise_for_status()  # noqa: S501  only whether it is there

            return Fake(url, stack.enter_context(running(command, tmp_path_factory.mktemp("fake") / "log", is_up)))

        yield start
