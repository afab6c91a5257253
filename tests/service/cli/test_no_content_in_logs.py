"""What clients send and what keys there are never reaches a log, whatever goes wrong with it."""

import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

PATIENCE_S = 300.0
DRIVER = Path(__file__).with_name("broken_serve.py")
ADMIN = "CANARY-admin-key-of-the-settings-with-many-characters"
LLM_KEY = "CANARY-llm-key-of-the-settings"
BREAK = "BREAK"
JSON = "application/json"
NDJSON = "application/x-ndjson"
_numbers = itertools.count()


def canary(where: str) -> str:
    """A word that stands for content."""
    return f"CANARY{next(_numbers)}{where}"


class Reply(NamedTuple):
    status: int
    body: bytes


class Noisy:
    """A server whose whole output is kept."""

    def __init__(self, folder: Path, settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.config, self.data = folder / "quarry.toml", folder / "data"
        self.config.write_text(settings)
        self._output = folder / "output"
        command = [sys.executable, DRIVER, "serve", "--port", str(self.port), "--data-dir", self.data, "--config"]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen([*command, self.config], stdout=output, stderr=output)
        self.statuses: list[int] = []

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def up(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.output[-3000:])

    def ended(self) -> str:
        """All that it wrote."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        return self.output

    def ask(
        self, method: str, path: str, body: object = None, *, type_: str = JSON, key: str = ADMIN, **headers: str
    ) -> Reply:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {"Authorization": f"Bearer {key}", "Content-Type": type_}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            try:
                reply = Reply(response.status, response.read())
            except http.client.IncompleteRead as cut:  # of a reply that had begun before its part broke
                reply = Reply(response.status, cut.partial)
        finally:
            connection.close()
        self.statuses.append(reply.status)
        return reply

    def raw(self, sent: bytes) -> None:
        """Bytes that may be no HTTP."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(sent)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass


@pytest.fixture
def noisy(tmp_path: Path, tiny_embedder: Path, language_model: Callable[..., str]) -> Iterator[Noisy]:
    said = canary("fromllm")
    failure = json.dumps({"error": {"message": said, "code": 400}}).encode()
    servers = {
        "refusing": language_model([failure], status=400),
        "broken": language_model([failure], status=500),
        "locked": language_model([failure], status=401),
        "midway": language_model([b"data: " + failure + b"\n\n"]),
        "garbled": language_model([b"data: " + said.encode() + b"\n\n"]),
        "cut": language_model([f'data: {{"choices":[{{"delta":{{"content":"{said}"}}}}]}}\n\n'.encode()], end="cut"),
        "well": language_model(
            [
                f'data: {{"choices":[{{"delta":{{"content":"{said}"}},"finish_reason":"stop"}}]}}\n\n'.encode(),
                b"data: [DONE]\n\n",
            ]
        ),
    }
    settings = f"""
        embedding.model = {json.dumps(str(tiny_embedder))}
        access.admin_key = "{ADMIN}"
        server.log_level = "debug"
        server.max_body_bytes = 100000
        answer.llm = "well"
        answer.min_score = -1.0
    """
    for name, url in servers.items():
        settings += f'\n[llm.{name}]\nurl = "{url}"\nmodel = "m"\nkey = "{LLM_KEY}"\n'
    server = Noisy(tmp_path, settings)
    try:
        server.up()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def properties(document: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    """The fields of a body, by whatever way its schema has them."""
    if "$ref" in schema:
        return properties(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    nested = [part for name in ("anyOf", "oneOf", "allOf") for part in schema.get(name, [])]
    return set(schema.get("properties", ())).union(*(properties(document, part) for part in nested))


def whatever_the_document_names(server: Noisy) -> None:
    """Every route with every field, parameter and place in its path holding a word."""
    document = json.loads(server.ask("GET", "/openapi.json").body)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            filled = re.sub(r"\{\w+\}", lambda _: quote(canary("in path") + "\n"), path)
            names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            query = "&".join(f"{name}={canary('query')}" for name in [*names, canary("name")])
            server.ask(method.upper(), f"{filled}?{query}")
            for type_, content in operation.get("requestBody", {}).get("content", {}).items():
                fields = properties(document, content["schema"]) | {"id", "text", canary("field")}
                body = {name: canary("field") for name in fields}
                server.ask(method.upper(), filled, body, type_=type_)
                docs = path.replace("{collection}", "docs")
                docs = re.sub(r"\{\w+\}", lambda _: canary("id"), docs)
                server.ask(method.upper(), docs, body, type_=type_)
                server.ask(method.upper(), docs, f'{{"text": "{canary("broken")}'.encode(), type_=type_)
                server.ask(method.upper(), docs, b'"\xff' + canary("latin").encode() + b'"', type_=type_)
                server.ask(method.upper(), docs, body, type_=canary("type") + "/x")


def documents(server: Noisy) -> None:
    """Written, read later, refused and lost."""
    documents = "/v1/collections/docs/documents"
    put = {"text": canary("text"), "title": canary("title"), "metadata": {canary("key"): canary("value")}}
    assert server.ask("PUT", f"{documents}/{canary('id')}", put).status in {200, 201}
    assert server.ask("PUT", f"{documents}/{canary('id')}", {"text": canary("x") * 20_000}).status == 413
    assert server.ask("GET", f"{documents}/{canary('absent')}").status == 404
    assert server.ask("PUT", f"{documents}/a", {"text": f"{BREAK} {canary('broken')}"}).status == 500
    lines = [{"id": canary("line"), "text": canary("text")}, {"id": canary("line"), "text": f"{BREAK} {canary('b')}"}]
    batch = "\n".join(json.dumps(line) for line in lines).encode() + b"\n{" + canary("bad").encode()
    server.ask("POST", f"{documents}:batch", batch, type_=NDJSON)
    server.ask("POST", f"{documents}:batch?wait_ms=60000", batch, type_=NDJSON)
    for name, content in ((".txt", BREAK), (".txt", "well"), (".pdf", "x"), (".docx", "PK\x03\x04"), (".exe", "y")):
        boundary = canary("boundary")
        form = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{canary("file")}{name}"\r\n\r\n'
        form += f"{content} %PDF-1.4 {canary('content')}\r\n--{boundary}\r\n"
        form += 'Content-Disposition: form-data; name="metadata"\r\n\r\n' + json.dumps({canary("key"): canary("value")})
        form += f"\r\n--{boundary}--\r\n"
        kind = f"multipart/form-data; boundary={boundary}"
        server.ask("PUT", f"{documents}/{canary('id')}?wait_ms=60000", form.encode(), type_=kind)
        server.ask("PUT", f"{documents}/{canary('id')}", form[:-30].encode(), type_=kind)
    pdf = b"%PDF-1.4\n" + canary("pdf").encode() + b"\n1 0 obj << /Title (" + canary("pdf").encode() + b") >>\n%%EOF"
    server.ask("PUT", f"{documents}/{canary('id')}?wait_ms=60000", pdf, type_="application/pdf")
    server.ask("GET", f"/v1/jobs/{canary('job')}")
    reply = server.ask("PUT", "/v1/collections/docs", {"metric": "l2"})
    assert reply.status == 409, reply


def questions(server: Noisy) -> None:
    """Of every kind, to language models that fail in every way."""
    asked = {"query": canary("query"), "collection": "docs"}
    filters = {"type": "eq", "key": canary("key"), "value": canary("value")}
    assert server.ask("POST", "/v1/search", {**asked, "filters": filters}).status == 200
    assert server.ask("POST", "/v1/search", {"query": f"{BREAK} {canary('q')}", "collection": "docs"}).status == 500
    turns = [{"role": "user", "content": canary("turn")}, {"role": "assistant", "content": canary("turn")}]
    for name in ("refusing", "broken", "locked", "midway", "garbled", "cut", "well"):
        for stream in (False, True):
            for on_failure in ("fail", "degrade"):
                body = {"llm": name, "stream": stream, "on_failure": on_failure, **asked}
                server.ask("POST", "/v1/query", body)
        body = {"messages": [*turns, {"role": "user", "content": canary("last")}], "llm": name, "collection": "docs"}
        server.ask("POST", "/v1/query", body)
    chat = {"model": "docs", "messages": [{"role": "user", "content": f"{BREAK} {canary('chat')}"}]}
    assert server.ask("POST", "/v1/chat/completions", chat).status == 500
    server.ask("POST", "/v1/embeddings", {"model": "tiny-embedder", "input": [canary("input")] * 3000})
    server.ask("POST", "/v1/rerank", {"query": canary("query"), "documents": [canary("document")]})


def strangers(server: Noisy) -> None:
    """Keys that do not hold, heads that say too much, and what is no HTTP."""
    for key in (canary("key"), f"quarry.0123456789abcdef.{canary('secret')}", f"{BREAK} {canary('key')}"):
        assert server.ask("GET", "/v1/collections", key=key).status == 401
        assert server.ask("GET", "/v1/collections", key="", Authorization="", x_api_key=key).status == 401
        assert server.ask("GET", "/v1/collections", Authorization=f"Basic {key}").status == 401
    names = ("Cookie", "Referer", "User_Agent", "X_Forwarded_For", "Accept", "X_Request_ID", "Forwarded", "traceparent")
    for name in names:
        server.ask("PUT", "/v1/collections/docs/documents/a", {}, **{name: f"{canary(name)} ;, <>"})
        server.ask("DELETE", "/v1/admin/keys/none", key="none", **{name: f"{canary(name)} ;, <>"})
        server.ask("DELETE", "/v1/admin/keys/none", key="none", **{name: canary("wellformed")})
    server.ask("GET", "/v1/collections", Host=f"{canary('host')}.example")
    server.ask("GET", "/v1/collections", Origin=f"https://{canary('origin')}.example")
    server.ask("OPTIONS", "/v1/collections", Origin=f"https://{canary('origin')}.example")
    server.ask("GET", f"/{canary('path')}/{canary('path')}?{canary('query')}={canary('query')}")
    server.ask("BREW", f"/v1/{canary('path')}")
    for sent in (
        f"{canary('garbage')}\r\n\r\n",
        f"GET /{canary('a')} HTTP/9.9\r\n{canary('b')}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {canary('large') * 20_000}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: {canary('up')}\r\nConnection: upgrade\r\n\r\n",
        f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{canary('half')}",
        f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{canary('chunk')}\r\n",
    ):
        server.raw(sent.encode())


def test_nothing_that_was_sent_is_in_any_line_that_was_written(noisy: Noisy) -> None:
    noisy.ask("PUT", "/v1/collections/docs", {})
    for tell in (whatever_the_document_names, documents, questions, strangers):
        tell(noisy)
        assert noisy.process.poll() is None, "it died"
    made = noisy.ask("POST", "/v1/admin/keys", {"name": "who", "scopes": ["query"], "collections": ["docs"]})
    key = json.loads(made.body)
    for other in ("other", canary("wellformed").lower()):
        asked = {"query": canary("q"), "collection": other}
        assert noisy.ask("POST", "/v1/search", asked, key=key["key"]).status == 403
        assert noisy.ask("PUT", f"/v1/collections/{other}", {}, key=key["key"]).status == 403
    assert noisy.ask("GET", f"/v1/{key['key']}?{key['key']}").status == 404
    assert noisy.ask("DELETE", f"/v1/admin/keys/{key['id']}").status == 200
    assert {200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 500, 502, 503} <= set(noisy.statuses)
    status = noisy.ask("GET", "/v1/status").body.decode()
    written = noisy.ended()
    assert "unforeseen error" in written, "it logs"
    assert "nobody waited for what failed" in written
    assert "generator refusing failed" in written
    leaks = [line[:2000] for line in written.splitlines() if re.search("canary", line, re.IGNORECASE)]
    assert leaks == []
    assert key["key"].rpartition(".")[2] not in written
    assert key["id"] in written
    for secret in (ADMIN, LLM_KEY):
        assert secret not in status


def test_the_doctor_tells_no_key(tmp_path: Path, tiny_embedder: Path) -> None:
    config = tmp_path / "quarry.toml"
    config.write_text(f"""
        embedding.model = {json.dumps(str(tiny_embedder))}
        access.admin_key = "{ADMIN}"
        llm.absent = {{url = "http://127.0.0.1:9", model = "m", key = "{LLM_KEY}"}}
    """)
    command = [sys.executable, "-m", "service", "doctor", "--config", config, "--data-dir", tmp_path / "data", "--json"]
    env = {**os.environ, "NO_PROXY": "*", "QUARRY_KEY": canary("shown")}
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    said = run.stdout + run.stderr
    assert "absent" in said, said
    assert "CANARY" not in said
