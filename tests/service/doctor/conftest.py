"""A model server that replies as it is told, and what a check found."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.doctor.check import Finding, Status


@pytest.fixture
def failed() -> Callable[[Iterable[Finding]], Finding]:
    """(findings) -> the only one of them that is a failure; every one that is not well says what to do."""

    def only(findings: Iterable[Finding]) -> Finding:
        made = list(findings)
        assert all(bool(finding.advice) == (finding.status is not Status.OK) for finding in made)
        (found,) = [finding for finding in made if finding.status is Status.FAILURE]
        return found

    return only


@pytest.fixture
def model_server() -> Iterator[Callable[..., str]]:
    """(model=..., context=..., says=..., status=...) -> address of a server that lists it and says so much."""
    with ExitStack() as stack:

        def start(model: str = "m", context: int | None = 8192, says: Any = None, status: int = 200) -> str:  # noqa: ANN401
            listed = {"data": [{"id": model, "max_model_len": context}]}
            spoken = {"choices": [{"message": {"content": "Hi"}}]} if says is None else says
            server = ThreadingHTTPServer(("127.0.0.1", 0), _replying({"GET": listed, "POST": spoken}, status))
            thread = threading.Thread(target=server.serve_forever, name="server-of-a-test")
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


def _replying(bodies: dict[str, Any], status: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = orjson.dumps(bodies[self.command])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    return Handler


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder that looks like a model to whoever does not read its weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder
