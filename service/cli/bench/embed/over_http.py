"""What POST /v1/embeddings adds to tokenise + forward, and what an idle server costs."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path

import orjson

from models.base import Embedder, TextKind
from service.cli.bench.embed.rig import Rig
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.server import RunningServer, connection, running_server

_ROUNDS = 30
_BLOCK = 10
_WARM_UP = 30
_IDLE_S = 10.0
_OK = 200


@dataclass(frozen=True, slots=True)
class OverHttp:
    """One caller, one short text at a time.

    Attributes:
        added_p50_ms: difference of the two medians.
        idle_cpu: share of a core that the server takes when nobody asks.
    """

    http_ms: Percentiles
    direct_ms: Percentiles
    added_p50_ms: float
    idle_cpu: float


async def over_http(rig: Rig, texts: Sequence[str], config: Path | None) -> OverHttp:
    """Alternate in short blocks between a server of its own and the bare model."""
    asked = cycle(texts)
    http_s: list[float] = []
    direct_s: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder,
        running_server(Path(folder, "data"), config) as server,
    ):
        http, headers = connection(server.url), server.headers
        for text in islice(asked, _WARM_UP):
            _embed(http, text, headers)
        for _ in range(_ROUNDS):
            block = list(islice(asked, _BLOCK))
            http_s += [_embed(http, text, headers) for text in block]
            direct_s += [await rig.bare(partial(_embed_directly, text)) for text in block]
        idle_cpu = _idle_cpu(server.pid)
    http_ms, direct_ms = Percentiles.of(http_s), Percentiles.of(direct_s)
    return OverHttp(http_ms, direct_ms, round(http_ms.p50 - direct_ms.p50, 3), round(idle_cpu, 4))


def _server(folder: str, config: Path | None) -> AbstractContextManager[RunningServer]:
    return running_server(Path(folder, "data"), config)


def _embed_directly(text: str, embedder: Embedder) -> None:
    embedder.embed(embedder.tokenize([text], TextKind.DOCUMENT))


def _embed(http: HTTPConnection, text: str, headers: Mapping[str, str]) -> float:
    """Seconds from the first byte sent to the last byte read."""
    body = orjson.dumps({"input": text, "encoding_format": "base64"})
    start = time.perf_counter()
    http.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json", **headers})
    response = http.getresponse()
    reply = response.read()
    seconds = time.perf_counter() - start
    if response.status != _OK:
        raise RuntimeError(f"/v1/embeddings replied {response.status}: {reply.decode()}")
    return seconds


def _idle_cpu(pid: int) -> float:
    before = _cpu_s(pid)
    time.sleep(_IDLE_S)
    return (_cpu_s(pid) - before) / _IDLE_S


def _cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used: fields 14 and 15 of /proc/PID/stat, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
