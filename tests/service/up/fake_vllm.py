"""As much of vLLM as `quarry up` sees, without a dependency; what it does is in a JSON file, read at every request.

    {"exit": code}            ends at once, with words on stderr
    {"healthy": false}        /health is 503
    {"answers": false}        /health answers, requests for tokens hang
    {"counts": true}          the token counters move at every reading
    {"deaf": true}            SIGTERM is ignored

Usage: fake_vllm.py FOLDER serve ...
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

HELP = """usage: vllm serve [model_tag] [options]

options:
  --uds UDS             Unix domain socket path
  --served-model-name NAME, --name NAME
                        Not to be mixed up with --max-num-queued-reqs
  --scheduling-policy {fcfs,priority}
"""
FOLDER = Path(sys.argv[1])
TOKENS = {"prompt": 0}


def script() -> dict[str, Any]:
    try:
        return json.loads((FOLDER / "script.json").read_text())
    except FileNotFoundError:
        return {}


def record(**what: object) -> None:
    with (FOLDER / "vllm.jsonl").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "at": time.monotonic(), **what}) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/metrics":
            TOKENS["prompt"] += bool(script().get("counts"))
            record(asked="/metrics")
            time.sleep(script().get("counts_after_s", 0.0))
            self.reply(200, f'vllm:prompt_tokens_total{{engine="0"}} {TOKENS["prompt"]}\nprocess_cpu {time.time()}\n')
        else:
            self.reply(200 if script().get("healthy", True) else 503, "")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        record(asked=self.path, body=body, authorization=self.headers.get("authorization"))
        while not script().get("answers", True):
            time.sleep(0.05)
        self.reply(200, json.dumps({"choices": [{"message": {"content": "x"}}]}))

    def reply(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None: ...


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None: ...  # a client that left


def ended(*_: object) -> None:
    record(ended=True)
    if not script().get("deaf"):
        os._exit(0)


def main() -> None:
    if "--help=all" in sys.argv:
        record(asked="help")
        sys.stdout.write(HELP)
        return
    engine = subprocess.Popen(["/bin/sleep", "1000"])
    record(started=sys.argv[2:], engine=engine.pid, environment=dict(os.environ))
    if "exit" in script():
        sys.stderr.write("INFO all is well\nValueError: Free memory on device is less than desired\n")
        sys.stderr.flush()
        os._exit(script()["exit"])
    signal.signal(signal.SIGTERM, ended)
    server = Server(sys.argv[sys.argv.index("--uds") + 1], Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


main()
