"""Two query replicas and a writer behind nginx as processes, a load on them, and a language model that can wait."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

from nginx_process import NginxProcess, free_port, nginx_command
from scripted_llm import HEADERS, Connection, ScriptedLlm, finishing, said
from scripted_memory import UNMARKED

PATIENCE_S = 400.0
QUARRY = str(Path(sys.executable).with_name("quarry"))
ADMIN = "a key of an operator with more than 32 characters"
CLIENTS = 2
SOME = 25
DOCUMENT = "/v1/collections/docs/documents/{}"
# No words are looked for on Milvus, which an answer that was to have some calls partial.
QUESTION = {
    "query": "When do honey bees sleep?",
    "collection": "docs",
    "deadline_ms": 600_000,
    "score_threshold": -1,
    "hybrid": {"enabled": False},
}
QUOTED = QUESTION | {"llm": "extractive"}
WRITTEN = QUESTION | {"llm": "main", "stream": True}


def until(condition: Callable[[], Any], so_that: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, f"in vain: {so_that}"
        time.sleep(0.02)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Writing:
    """A language model that goes on with its answers until it may end them."""

    def __init__(self) -> None:
        self._may_end = Event()
        self._loop = asyncio.new_event_loop()
        self._listens = Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._server = ScriptedLlm([self._answer])
        self._over = asyncio.Event()

    def __enter__(self) -> "Writing":
        self._thread.start()
        assert self._listens.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    @property
    def url(self) -> str:
        return self._server.url

    def end(self) -> None:
        """All that it writes, and what it will."""
        self._may_end.set()

    async def _run(self) -> None:
        async with self._server.listening():
            self._listens.set()
            await self._over.wait()

    async def _answer(self, connection: Connection) -> None:
        await connection.send(HEADERS)
        await connection.chunk(said("In winter [1]"))
        while not self._may_end.is_set():
            await connection.chunk(said(" and"))
            await asyncio.sleep(0.02)
        await connection.chunk(said(" then."), finishing(), b"data: [DONE]\n\n")
        await connection.send(b"0\r\n\r\n")


class Served:
    """A `quarry serve` that is started again on its port."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / f"log-{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        self._environment = kept | UNMARKED | {"HF_HUB_OFFLINE": "1"} | variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [QUARRY, "serve", "--port", str(self.port)]
            self._process = subprocess.Popen(command, stderr=log, env=self._environment, cwd=self._folder)

    def stop(self) -> None:
        """Ask it to end."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code, when it has."""
        assert self._process
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def says(self, path: str) -> int:
        """The status of a reply; 0 where nobody listens."""
        assert self._process
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            assert self._process.poll() in {None, 0}, self._log.read_text()
            return 0

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}", timeout=PATIENCE_S, trust_env=False)

    def sample(self, series: str) -> float:
        """From the metrics, labels included."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


class Load:
    """Clients that ask one question after the other, until they may stop.

    Attributes:
        failures: what was no answer, and of what.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._over = Event()
        self._threads = [Thread(target=self._ask) for _ in range(CLIENTS)]
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Return when so many more questions of each kind were answered, or one was not."""
        before = self.answered.copy()
        kinds = ("search", "quotes", "stream", "collections")
        until(
            lambda: self.failures or all(self.answered[kind] - before[kind] >= SOME for kind in kinds),
            "questions are answered",
        )

    def _ask(self) -> None:
        with client(self._url, self._key) as http:
            for kind, ask in cycle(KINDS.items()):
                if self._over.is_set():
                    return
                try:
                    fault = ask(http)
                except httpx.TransportError as error:
                    fault = repr(error)
                if fault:
                    self.failures.append(f"{kind}: {fault}")
                else:
                    self.answered[kind] += 1


def client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=bearer(key), timeout=PATIENCE_S, trust_env=False)


def fault_of(reply: httpx.Response, is_there: Callable[[Any], Any]) -> str | None:
    if reply.status_code == 200 and is_there(reply.json()):
        return None
    return f"{reply.status_code} {reply.text[:300]}"


def fault_of_stream(lines: list[str], answer: str) -> str | None:
    """None of a stream that ended with a whole answer."""
    if "event: done" not in lines:
        return f"no end: {lines[-3:]}"
    done = json.loads(lines[lines.index("event: done") + 1].removeprefix("data: "))
    return None if done["status"] == "ok" and answer in done["answer"] and not done["degraded"] else str(done)


def streamed(http: httpx.Client) -> str | None:
    with http.stream("POST", "/v1/query", json=QUOTED | {"stream": True}) as reply:
        lines = list(reply.iter_lines())
    return fault_of_stream(lines, "bees") if reply.status_code == 200 else f"{reply.status_code} {lines}"


KINDS: dict[str, Callable[[httpx.Client], str | None]] = {
    "search": lambda http: fault_of(http.post("/v1/search", json=QUESTION), lambda body: body["chunks"]),
    "quotes": lambda http: fault_of(http.post("/v1/query", json=QUOTED), lambda body: body["status"] == "ok"),
    "stream": streamed,
    "collections": lambda http: fault_of(http.get("/v1/collections"), lambda body: body["data"]),
}


class Answer:
    """One that a language model writes, as it comes through nginx; it has begun when this is made."""

    def __init__(self, stack: ExitStack, url: str, key: str) -> None:
        http = stack.enter_context(client(url, key))
        self._reply = stack.enter_context(http.stream("POST", "/v1/query", json=WRITTEN))
        assert self._reply.status_code == 200
        self._lines = self._reply.iter_lines()
        self._read: list[str] = []
        for line in self._lines:
            self._read.append(line)
            if line == "event: token":
                break

    def fault(self) -> str | None:
        """Of its end."""
        try:
            self._read += list(self._lines)
        except httpx.TransportError as error:
            return repr(error)
        return fault_of_stream(self._read, "then.")


class Fleet:
    """All of it, with a document to ask for."""

    def __init__(self, folder: Path, shared: dict[str, str], writing: Writing) -> None:
        self.writing = writing
        answers = {"QUARRY_LLM__MAIN__URL": writing.url, "QUARRY_LLM__MAIN__MODEL": "tiny"}
        reading = {"QUARRY_SERVER__ROLE": "replica", "QUARRY_ACCESS__KEYS": "replicated", **answers, **shared}
        writer = {"QUARRY_ACCESS__KEYS": "published", "QUARRY_ACCESS__ADMIN_KEY": ADMIN, **shared}
        self.writer = Served(folder, QUARRY_DATA_DIR=str(folder / "data"), **writer)
        self.replicas = [Served(folder, **reading) for _ in range(2)]
        addresses = [replica.address for replica in self.replicas]
        self.nginx = NginxProcess(folder, nginx_command(), addresses, self.writer.address)
        self.key = ""

    def start(self) -> None:
        for process in (self.writer, *self.replicas):
            process.start()
        self.nginx.start()
        until(lambda: self.writer.says("/readyz") == 200, "the writer is ready")
        body = {"name": "one", "scopes": ["query", "ingest"]}
        self.key = self.ask("POST", "/v1/admin/keys", json=body, headers=bearer(ADMIN)).json()["key"]
        assert self.put("bees").status_code == 201
        for replica in self.replicas:
            until(lambda replica=replica: replica.says("/readyz") == 200, "a replica is ready")  # type: ignore[misc]
        with client(self.nginx.url, self.key) as http:
            for kind, ask in KINDS.items():
                until(lambda ask=ask: ask(http) is None, f"{kind} is answered")  # type: ignore[misc]

    def end(self) -> None:
        for process in (self.writer, *self.replicas):
            process.kill()
        self.nginx.stop()

    def put(self, name: str) -> httpx.Response:
        text = f"The honey bees of {name} sleep in winter."
        return self.ask("PUT", DOCUMENT.format(name), json={"text": text}, headers=bearer(self.key))

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        return httpx.request(method, f"{self.nginx.url}{path}", timeout=PATIENCE_S, trust_env=False, **more)

    def load(self) -> Load:
        return Load(self.nginx.url, self.key)

    def answers_of(self, replica: Served, stack: ExitStack) -> list[Answer]:
        """Begun, and one of them at least by this replica."""
        begun: list[Answer] = []
        while not replica.sample('quarry_llm_slots{llm="main"}'):
            assert len(begun) < 20, "nginx asks the other one alone"
            begun.append(Answer(stack, self.nginx.url, self.key))
        return begun
