"""What POST /v1/search adds to the work it cannot do without: tokenise, forward, index search.

And what words beside the vectors, and quotes out of what was found, take on top of that.
"""

import math
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
from service.cli.bench.drawn_documents import drawn_documents
from service.cli.bench.machine import processor
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.server import RunningServer, connection, running_server
from service.cli.configuration import settings_or_fail
from service.cli.sources import find
from service.cli.upload import Uploader

ADDED_P50_LIMIT_MS = 3.0
# Of words and quotes together.
EXTRAS_P50_LIMIT_MS = 4.0
# Of what belongs to no stage: of the whole time by the server's stopwatch, and never less than this.
OTHER_SHARE = 0.05
OTHER_LEAST_MS = 1.0
# Every way sees every query, so a vector that is remembered would be the work of another.
_MEASURED = {"QUARRY_EMBEDDING__CACHE_BYTES": "0"}
_COLLECTION = "bench"
_BLOCK = 10
_WARM_UP = 30
_TOP_K = 10


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is searched: JSONL of {_id or id, title, text}, and as many drawn documents as make ``chunks`` of it."""

    path: Path
    chunks: int = 0


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


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of every search: by vectors over HTTP, with words too, and ``(tokenise, forward, search)`` directly.

    Attributes:
        others: ``(other, total)`` milliseconds of both kinds of searches, by the server's stopwatch.
    """

    dense: list[float]
    hybrid: list[float]
    direct: list[tuple[float, float, float]]
    others: list[tuple[float, float]]


def run(corpus: Corpus, queries: Path, rounds: int, say: Callable[[str], None]) -> dict[str, object]:
    """Ingest ``corpus``, then time ``queries`` in alternating blocks: over HTTP at concurrency 1, and directly.

    Args:
        queries: JSONL of {text}.
        rounds: passes over the queries.
        say: where progress goes.
    """
    texts = [str(orjson.loads(line)["text"]) for line in queries.read_bytes().splitlines() if line.strip()]
    with (
        tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder,
        running_server(Path(folder, "data"), variables=_MEASURED) as server,
    ):
        say(f"ingesting {corpus.path}")
        outcomes = _ingested(server, corpus, Path(folder))
        say("loading the model a second time, for the direct measurement")
        settings = settings_or_fail(None).embedding
        embedder = TransformerEmbedder.load(settings.model, device=settings.device, dtype=settings.dtype)
        threadpool_limits(1, user_api="blas")  # as the server does it
        direct = DirectWork(embedder, _rows_of(Path(folder, "data"), embedder.info.dimension))
        http, headers = connection(server.url), server.headers
        say(f"timing {len(texts)} queries, {rounds} rounds")
        for text in texts[:_WARM_UP]:
            _search(http, text, headers, hybrid=True), direct.timed(text)
        timed = _alternated(http, headers, direct, texts * rounds)
        say("timing quotes")
        quotes = [_quoted(http, text, headers) for text in texts * rounds]
        status = httpx.get(f"{server.url}/v1/status", headers=headers, trust_env=False).json()
    report = _report(timed, direct, outcomes, status["embedders"][0])
    report |= _of_other(timed.others)
    is_met = bool(report["met"]) and bool(report["other_met"])
    return report | _of_extras(timed, quotes, is_met=is_met)


def _ingested(server: RunningServer, corpus: Corpus, folder: Path) -> dict[str, int]:
    """Outcomes of the documents."""
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=600, trust_env=False) as client:
        uploader = Uploader(client, _COLLECTION)
        for source in find([corpus.path]):
            uploader.send(source)
        documents = client.get(f"/v1/collections/{_COLLECTION}").raise_for_status().json()
        missing = math.ceil((corpus.chunks - documents["chunks"]) * documents["documents"] / documents["chunks"])
        if missing > 0:
            drawn = folder / "drawn.jsonl"
            drawn.write_bytes(b"".join(drawn_documents(corpus.path, missing)))
            for source in find([drawn]):
                uploader.send(source)
    return dict(uploader.tally.outcomes)


def _rows_of(data_dir: Path, dimension: int) -> ExactRows:
    """The stored vectors; SQLite lets a second process read while the server runs."""
    (path,) = data_dir.glob("collections/*/store.db")
    store = Store(path)
    vectors = np.concatenate([block.vectors for block in store.scan(dimension)])
    store.close()
    return ExactRows(vectors, "cosine")


def _alternated(http: HTTPConnection, headers: Mapping[str, str], direct: DirectWork, texts: Sequence[str]) -> Timed:
    """All ways see every text; blocks are short, so that all see the same weather on a noisy machine."""
    timed = Timed([], [], [], [])
    for first in range(0, len(texts), _BLOCK):
        block = texts[first : first + _BLOCK]
        for took, is_hybrid in ((timed.dense, False), (timed.hybrid, True)):
            asked = [_search(http, text, headers, hybrid=is_hybrid) for text in block]
            took.extend(seconds for seconds, _ in asked)
            timed.others.extend((stages["other"], stages["total"]) for _, stages in asked)
        timed.direct.extend(direct.timed(text) for text in block)
    return timed


def _search(
    http: HTTPConnection, text: str, headers: Mapping[str, str], *, hybrid: bool
) -> tuple[float, dict[str, float]]:
    """Seconds from the first byte sent to the last byte read, and the stages in milliseconds."""
    start = time.perf_counter()
    reply = _post(http, "/v1/search", {"query": text, "hybrid": {"enabled": hybrid}}, headers)
    seconds = time.perf_counter() - start
    stages: dict[str, float] = orjson.loads(reply)["timings_ms"]
    return seconds, stages


def _quoted(http: HTTPConnection, text: str, headers: Mapping[str, str]) -> float:
    """Seconds that the quotes take beside the search, by the server's own stopwatch."""
    stages = orjson.loads(_post(http, "/v1/query", {"query": text}, headers))["timings_ms"]
    return float(stages["prompt"] + stages["llm_total"]) / 1000


def _post(http: HTTPConnection, route: str, asked: Mapping[str, object], headers: Mapping[str, str]) -> bytes:
    body = orjson.dumps({**asked, "collection": _COLLECTION, "top_k": _TOP_K})
    http.request("POST", route, body, {"Content-Type": "application/json", **headers})
    response = http.getresponse()
    reply = response.read()
    if response.status != httpx.codes.OK:
        raise RuntimeError(f"{route} replied {response.status}: {reply.decode()}")
    return reply


def _of_extras(timed: Timed, quoted: Sequence[float], *, is_met: bool) -> dict[str, object]:
    hybrid, quotes = Percentiles.of(timed.hybrid), Percentiles.of(quoted)
    words = round(hybrid.p50 - Percentiles.of(timed.dense).p50, 3)
    extras = round(words + quotes.p50, 3)
    return {
        "hybrid_ms": asdict(hybrid),
        "hybrid_added_p50_ms": words,
        "quotes_ms": asdict(quotes),
        "extras_p50_ms": extras,
        "extras_p50_limit_ms": EXTRAS_P50_LIMIT_MS,
        "met": is_met and extras <= EXTRAS_P50_LIMIT_MS,
    }


def _of_other(others: Sequence[tuple[float, float]]) -> dict[str, object]:
    """What belongs to no stage, beside what may of each search."""
    other, total = np.array(others).T
    allowed = np.maximum(OTHER_SHARE * total, OTHER_LEAST_MS)
    p50, p95 = (round(float(each), 3) for each in np.percentile(other, [50, 95]))
    share = round(float(np.percentile(other / allowed, 95)), 3)
    return {
        "other_ms": {"p50": p50, "p95": p95},
        "other_allowed": {"share": OTHER_SHARE, "least_ms": OTHER_LEAST_MS},
        "other_of_allowed_p95": share,
        "other_met": share <= 1,
    }


def _report(
    timed: Timed, direct: DirectWork, documents: dict[str, int], embedder: dict[str, object]
) -> dict[str, object]:
    directly = np.array(timed.direct)
    http, work = Percentiles.of(timed.dense), Percentiles.of(directly.sum(axis=1).tolist())
    added = round(http.p50 - work.p50, 3)
    parts = dict(zip(("tokenize", "forward", "index_search"), directly.T, strict=True))
    return {
        "bench": "query",
        "documents": documents,
        "chunks": len(direct.rows.vectors),
        "samples": len(timed.dense),
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
