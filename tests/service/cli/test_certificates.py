"""Commands and certificates: whom a company trusts, its nodes do."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app

PATIENCE_S = 200.0


class Collections(BaseHTTPRequestHandler):
    """Answers whatever is asked with one collection."""

    def do_GET(self) -> None:
        body = b'{"data": [{"name": "docs", "documents": 3, "chunks": 7}], "unavailable": {}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, which nobody knows but who made it; its key is beside it."""
    made = tmp_path / "node.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node", "-days", "2"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "node.key"), "-out", str(made)]
    subprocess.run([*command, *names], check=True, capture_output=True, timeout=PATIENCE_S)
    return made


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    """Address of a server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with HTTPServer(("127.0.0.1", 0), Collections) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, name="server-with-a-certificate")
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(PATIENCE_S)


def test_a_certificate_of_ssl_cert_file_is_trusted_and_no_other(
    url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["collections", "list", "--url", url]
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    unknown = CliRunner().invoke(app, listed)
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "cannot be reached" in unknown.stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    known = CliRunner().invoke(app, listed)
    assert (known.exit_code, known.stdout) == (0, "docs: 3 documents, 7 chunks\n"), known.output
