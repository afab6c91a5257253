"""What POST /v1/search adds to the work it cannot do without: tokenise, forward, index search."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import orjson
from threadpoolctl import threadpool_limits

from indexes.exact import ExactRows, range_top_k
from indexes.store import Store
from models.base import Embedder, TextKind
from models.transformer import TransformerEmbedder
from service.cli.bench.machine import processor
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.server import RunningServer, connection, running_server
from service.cli.configuration import settings_or_fail
from service.cli.sources import find
from service.cli.upload import Uploader

ADDED_P50_LIMIT_MS = 3.0
_COLLECTION = "bench"
_BLOCK = 10
_WARM_UP = 30
_TOP_K = 10


@dataclass(frozen=True, slots=True)
class DirectWork:
    """The work without a server: an embedder and an exact scan of the same vectors."""

    embedder: Embedder
    rows: ExactRows

    def timed(self, query: str) -> tuple[float, float, float]:
        """Seconds to tokenise, to run the forward, to search."""
        start = time.perf_counter()
        ids = self.embedder.tokenize([query], TextKind.QUERY)
        tokenized = time.perf_counter()
        vector = self.embedder.embed(ids)
        embedded = time.perf_counter()
        range_top_k(self.rows, vector, 0, np.ones(len(self.rows.vectors), dtype=bool), _TOP_K)
        return tokenized - start, embedded - tokenized, time.perf_counter() - embedded


def run(corpus: Path, queries: Path, rounds: int, say: Callable[[str], None]) -> dict[str, object]:
    """Ingest ``corpus``, then time ``queries`` in alternating blocks: over HTTP at concurrency 1, and directly.

    Args:
        corpus: JSONL of {_id or id, title, text}.
        queries: JSONL of {text}.
        rounds: passes over the queries.
        say: where progress goes.
    """
    texts = [str(orjson.loads(line)["text"]) for line in queries.read_bytes().splitlines() if line.strip()]
    with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder, running_server(Path(folder, "data")) as server:
        say(f"ingesting {corpus}")
        uploader = _ingested(server, corpus)
        say("loading the model a second time, for the direct measurement")
        settings = settings_or_fail(None).embedding
        embedder = TransformerEmbedder.load(settings.model, device=settings.device, dtype=settings.dtype)
        threadpool_limits(1, user_api="blas")  # as the server does it
        direct = DirectWork(embedder, _rows_of(Path(folder, "data"), embedder.info.dimension))
        http, headers = connection(server.url), server.headers
        say(f"timing {len(texts)} queries, {rounds} rounds")
        for text in texts[:_WARM_UP]:
            _search(http, text, headers), direct.timed(text)
        over_http, directly = _alternated(http, headers, direct, texts * rounds)
        status = httpx.get(f"{server.url}/v1/status", headers=headers, trust_env=False).json()
    return _report(over_http, np.array(directly), direct, dict(uploader.tally.outcomes), status["embedders"][0])


def _ingested(server: RunningServer, corpus: Path) -> Uploader:
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=600, trust_env=False) as client:
        uploader = Uploader(client, _COLLECTION)
        for source in find([corpus]):
            uploader.send(source)
    return uploader


def _rows_of(data_dir: Path, dimension: int) -> ExactRows:
    """The stored vectors; SQLite lets a second process read while the server runs."""
    (path,) = data_dir.glob("collections/*/store.db")
    store = Store(path)
    vectors = np.concatenate([block.vectors for block in store.scan(dimension)])
    store.close()
    return ExactRows(vectors, "cosine")


def _alternated(
    http: HTTPConnection, headers: Mapping[str, str], direct: DirectWork, texts: Sequence[str]
) -> tuple[list[float], list[tuple[float, float, float]]]:
    """Both ways see every text; blocks are short, so that both see the same weather on a noisy machine."""
    over_http, directly = [], []
    for first in range(0, len(texts), _BLOCK):
        block = texts[first : first + _BLOCK]
        over_http += [_search(http, text, headers) for text in block]
        directly += [direct.timed(text) for text in block]
    return over_http, directly


def _search(http: HTTPConnection, text: str, headers: Mapping[str, str]) -> float:
    """Seconds from the first byte sent to the last byte read."""
    body = orjson.dumps({"query": text, "collection": _COLLECTION, "top_k": _TOP_K})
    start = time.perf_counter()
    http.request("POST", "/v1/search", body, {"Content-Type": "application/json", **headers})
    response = http.getresponse()
    reply = response.read()
    seconds = time.perf_counter() - start
    if response.status != httpx.codes.OK:
        raise RuntimeError(f"search replied {response.status}: {reply.decode()}")
    return seconds


def _report(
    over_http: Sequence[float],
    directly: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    direct: DirectWork,
    documents: dict[str, int],
    embedder: dict[str, object],
) -> dict[str, object]:
    http, work = Percentiles.of(over_http), Percentiles.of(directly.sum(axis=1).tolist())
    added = round(http.p50 - work.p50, 3)
    parts = dict(zip(("tokenize", "forward", "index_search"), directly.T, strict=True))
    return {
        "bench": "query",
        "documents": documents,
        "chunks": len(direct.rows.vectors),
        "samples": len(over_http),
        "http_ms": asdict(http),
        "direct_ms": asdict(work),
        "direct_parts_p50_ms": {name: Percentiles.of(column.tolist()).p50 for name, column in parts.items()},
        "added_p50_ms": added,
        "added_p50_limit_ms": ADDED_P50_LIMIT_MS,
        "met": added <= ADDED_P50_LIMIT_MS,
        "model": embedder["name"],
        "dtype": embedder["dtype"],
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("quarry", "torch", "numpy", "fastapi", "uvicorn")},
    }
