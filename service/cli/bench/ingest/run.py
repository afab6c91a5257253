"""How busy ingest keeps the embedder, while documents are parsed, cut and stored beside its forwards."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import httpx

from service.cli.bench.ingest.corpus import Page
from service.cli.bench.ingest.reading import Reading
from service.cli.bench.ingest.upload import Send, as_json, as_multipart, as_ndjson
from service.cli.bench.machine import processor
from service.cli.bench.server import running_server
from service.cli.bench.target import Target

BUSY_SHARE_LIMIT = 0.85
_WARM_UP = "warm-up"
_WARM_UP_PAGES = 16
_COUNTED_WITHIN_S = 60.0
_LOOK_S = 0.01
_TIMEOUT_S = 600.0

Way = Callable[[httpx.Client, str, Sequence[Page], Path], Send]
WAYS: dict[str, Way] = {"files": as_multipart, "json": as_json, "ndjson": as_ndjson}


class UncountedDocumentsError(Exception):
    """The server replied, but its metrics do not know of every document."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One corpus, ingested in one way.

    Attributes:
        seconds: from the first byte sent to the reply to the last document.
        busy_share: the part of them with a forward on the device.
        padding_share: of the tokens computed.
        full_share: forwards that more text waited behind, of all.
    """

    documents: int
    seconds: float
    busy_share: float
    documents_per_s: float
    tokens_per_s: float
    padding_share: float
    full_share: float

    @classmethod
    def between(cls, before: Reading, after: Reading, seconds: float) -> "Figures":
        """From two readings and the seconds in which everything between them was done."""
        documents, tokens = after.documents - before.documents, after.tokens - before.tokens
        batches = {reason: count - before.batches.get(reason, 0.0) for reason, count in after.batches.items()}
        return cls(
            documents=int(documents),
            seconds=round(seconds, 3),
            busy_share=round((after.busy_s - before.busy_s) / seconds, 4),
            documents_per_s=round(documents / seconds, 2),
            tokens_per_s=round(tokens / seconds, 1),
            padding_share=round(1 - tokens / (after.computed_tokens - before.computed_tokens), 4),
            full_share=round(batches.get("full", 0.0) / sum(batches.values()), 4),
        )


def run(pages: Sequence[Page], config: Path | None, say: Callable[[str], None]) -> dict[str, object]:
    """Start a server and ingest ``pages`` in each way, into a collection of its own.

    Args:
        say: where progress goes.

    Raises:
        ServerStartError, RefusedDocumentError, UncountedDocumentsError, httpx.HTTPError: nothing was measured.
    """
    with (
        tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder,
        running_server(Path(folder, "data"), config) as server,
        httpx.Client(base_url=server.url, headers=server.headers, timeout=_TIMEOUT_S, trust_env=False) as http,
    ):
        _measured(http, _WARM_UP, as_json, pages[:_WARM_UP_PAGES], Path(folder))
        figures: dict[str, Figures] = {}
        for name, way in WAYS.items():
            say(f"ingesting {len(pages)} documents as {name}")
            source = Path(folder, name)
            source.mkdir()
            figures[name] = _measured(http, name, way, pages, source)
        status = http.get("/v1/status").raise_for_status().json()
    return _report(figures) | {key: status["embedders"][0][source] for key, source in _EMBEDDER.items()}


_EMBEDDER = {"model": "name", "dtype": "dtype"}


def _measured(http: httpx.Client, collection: str, way: Way, pages: Sequence[Page], folder: Path) -> Figures:
    send = way(http, collection, pages, folder)
    http.put(f"/v1/collections/{collection}", json={}).raise_for_status()
    before = Reading.of(http)
    start = time.perf_counter()
    send()
    seconds = time.perf_counter() - start
    return Figures.between(before, _counted(http, before, len(pages)), seconds)


def _counted(http: httpx.Client, before: Reading, documents: int) -> Reading:
    """The counters, once they know of every document: a reply may come a moment before."""
    give_up = time.monotonic() + _COUNTED_WITHIN_S
    while (after := Reading.of(http)).documents - before.documents < documents:
        if time.monotonic() > give_up:
            raise UncountedDocumentsError(f"{after.documents - before.documents:g} of {documents} documents counted")
        time.sleep(_LOOK_S)
    return after


def _report(figures: dict[str, Figures]) -> dict[str, object]:
    targets = [
        Target(f"{name}_busy_share", each.busy_share, BUSY_SHARE_LIMIT, is_most=False) for name, each in figures.items()
    ]
    return {
        "bench": "ingest",
        "ways": {name: asdict(each) for name, each in figures.items()},
        "targets": [asdict(target) | {"met": target.is_met} for target in targets],
        "met": all(target.is_met for target in targets),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("quarry", "torch", "fastapi", "tokenizers", "uvicorn")},
    }
