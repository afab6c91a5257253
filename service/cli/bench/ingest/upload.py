"""The three ways in which documents come: files, JSON bodies and lines of NDJSON."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx

from service.cli.bench.ingest.corpus import Page, as_bodies, as_files, as_lines
from service.cli.ingest import CONCURRENT_REQUESTS
from service.cli.sources import Found
from service.cli.upload import Uploader

T = TypeVar("T")
# Sends the documents to a collection; returns when every one of them is searchable.
Send = Callable[[], None]


class RefusedDocumentError(Exception):
    """A document was not stored, and what is measured without it means nothing."""


def as_multipart(http: httpx.Client, collection: str, pages: Sequence[Page], folder: Path) -> Send:
    """One upload of a file for each page."""
    return _uploaded(http, collection, as_files(pages, folder))


def as_ndjson(http: httpx.Client, collection: str, pages: Sequence[Page], folder: Path) -> Send:
    """Batches of as many lines as `quarry ingest` puts into one."""
    return _uploaded(http, collection, as_lines(pages, folder / "documents.jsonl"))


def as_json(http: httpx.Client, collection: str, pages: Sequence[Page], _: Path) -> Send:
    """One JSON body for each page."""
    bodies = list(as_bodies(pages))

    def put(document: tuple[str, bytes]) -> None:
        url = f"/v1/collections/{quote(collection)}/documents/{quote(document[0], safe='')}"
        reply = http.put(url, content=document[1], headers={"Content-Type": "application/json"})
        if not reply.is_success:
            raise RefusedDocumentError(f"{document[0]}: {reply.text}")

    return lambda: _all_sent(put, bodies)


def _uploaded(http: httpx.Client, collection: str, found: Found) -> Send:
    def send() -> None:
        uploader = Uploader(http, collection)
        _all_sent(uploader.send, found)
        if uploader.tally.failures:
            raise RefusedDocumentError(uploader.tally.failures[0])

    return send


def _all_sent(send: Callable[[T], None], items: Iterable[T]) -> None:
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as threads:
        for _ in threads.map(send, items):
            pass
