"""As much of `quarry serve` as its parent sees; what it does is in a JSON file.

    {"serve_exit": code}      ends before it is ready
    {"holds": false}          never says that bulk work is held
    {"drain_s": seconds}      takes so long to end
    {"streams": true}         says that a stream moves, again and again

Usage: fake_serve.py FOLDER
"""

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])


def script() -> dict[str, Any]:
    try:
        return json.loads((FOLDER / "script.json").read_text())
    except FileNotFoundError:
        return {}


def record(**what: object) -> None:
    with (FOLDER / "serve.jsonl").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "at": time.monotonic(), **what}) + "\n")


def ended(*_: object) -> None:
    record(ended=True)
    time.sleep(script().get("drain_s", 0))
    record(exited=True)
    os._exit(0)


def main() -> None:
    record(started=True)
    if "serve_exit" in script():
        sys.stderr.write("the index is damaged\n")
        sys.stderr.flush()
        os._exit(script()["serve_exit"])
    link = socket.socket(fileno=int(os.environ["QUARRY_UP_LINK"]))

    def send(**message: object) -> None:
        link.sendall(json.dumps(message).encode() + b"\n")

    record(ready=True)
    send(ready=True)
    signal.signal(signal.SIGTERM, ended)
    rest = b""
    while True:
        if select.select([link], [], [], 0.1)[0]:
            read = link.recv(65536)
            if not read:
                record(abandoned=True)
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message["phase"] == "starting" and script().get("holds", True):
                    record(held=True)
                    send(held=True)
                record(**message)
        if script().get("streams"):
            send(token_at=time.monotonic())
    while True:
        signal.pause()


main()
