"""The proxies of docs/exposing.md as it configures them, with certificates of their own."""

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import httpx
import pytest

PATIENCE_S = 200.0
PAGE = Path(__file__).parents[3] / "docs" / "exposing.md"
SAID = b'data: {"choices":[{"delta":{"content":"The sky is blue. [1]"}}]}\n\n'
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{example} }}
"""


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, language
    return found[1].replace("quarry.example", "localhost")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], port: int) -> Iterator[httpx.Client]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not listens(port):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate is its own
        client = httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=PATIENCE_S, trust_env=False)
        with client:
            yield client
    finally:
        process.kill()
        process.communicate()


@contextmanager
def nginx(program: str, folder: Path, upstream: str) -> Iterator[httpx.Client]:
    port, crt, key = free_port(), folder / "quarry.crt", folder / "quarry.key"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(crt)], check=True, capture_output=True, timeout=PATIENCE_S)
    text = replaced(
        example("nginx"),
        ("127.0.0.1:8080", upstream),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/nginx/quarry", str(folder / "quarry")),
    )
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, example=text))
    with running([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], {}, port) as client:
        yield client


@contextmanager
def caddy(program: str, folder: Path, upstream: str) -> Iterator[httpx.Client]:
    port = free_port()
    options = "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n local_certs\n}\n"
    text = replaced(example("caddyfile"), ("127.0.0.1:8080", upstream), ("localhost {", f"https://localhost:{port} {{"))
    (folder / "Caddyfile").write_text(options + text)
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running(command, homes, port) as client:
        yield client


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def proxied(
    request: pytest.FixtureRequest,
    listening: Callable[..., str],
    language_model: Callable[..., str],
    tmp_path: Path,
) -> Iterator[httpx.Client]:
    """A client of a proxy before a server, whose language model says one sentence and then nothing for ever."""
    program = which(request.param)
    if program is None or which("openssl") is None:
        pytest.skip(f"there is no {request.param} here, or no openssl")
    model = {"url": language_model([SAID], end="stall"), "model": "m"}
    upstream = listening(llm={"main": model}).removeprefix("http://")
    with PROXIES[request.param](program, tmp_path, upstream) as client:
        yield client


def test_a_proxy_by_the_example(proxied: httpx.Client) -> None:
    path = "/v1/collections/docs/documents/a%2Fb"
    assert proxied.put(path, json={"text": "The sky is blue."}).status_code == 201
    read = proxied.get(path)
    assert (read.status_code, read.json()["id"]) == (200, "a/b")
    assert read.headers["strict-transport-security"].startswith("max-age=")
    assert read.headers["x-content-type-options"] == "nosniff"
    assert proxied.get("/metrics").status_code == 404
    large = proxied.put(path, content=b"x" * (33 << 20), headers={"content-type": "application/json"})
    assert large.status_code == 413
    assert proxied.put(path, content=b"x" * (31 << 20), headers={"content-type": "application/json"}).status_code == 400

    own = str(proxied.base_url).rstrip("/")  # with a port, which Host must have too
    for origin, status in ((own, 200), ("https://evil.example", 403)):
        changed = proxied.put(path, json={"text": "The sky is blue."}, headers={"Origin": origin})
        assert changed.status_code == status, changed.text

    body = {"query": "What is the sky?", "collection": "docs", "stream": True, "score_threshold": -1}
    with proxied.stream("POST", "/v1/query", json=body) as stream:
        # The model never ends: what arrives was not kept back for the end.
        assert next(line for line in stream.iter_lines() if line.startswith("event: token"))
