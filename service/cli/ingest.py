"""quarry ingest."""

import signal
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import quote

import httpx
import typer
from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_exponential

from service.cli.console import (
    DEFAULT_URL,
    CollectionOption,
    KeyOption,
    UrlOption,
    checked,
    err,
    fail,
    out,
    printable,
    say_json,
    served,
)
from service.cli.given_metadata import GivenMetadata
from service.cli.ingest_progress import IngestProgress
from service.cli.sources import BatchSource, FileSource, Found, SameIdError, find
from service.cli.upload import Tally, Uploader

CONCURRENT_REQUESTS = 8
_SHOWN = 20

Source = FileSource | BatchSource


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: PDF, DOCX, text, Markdown, HTML, JSONL.")],
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    metadata: Annotated[
        str | None,
        typer.Option(
            help='JSON object that every document is given, as \'{"tenant": "acme"}\'; a line\'s own fields win.'
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Whose words the documents are made of, as `de`; of a new collection, for good.")
    ] = None,
    wait_ready: Annotated[float, typer.Option(help="Seconds to wait for the server to be ready.")] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print what became of them as one JSON object.")] = False,
) -> None:
    """Put documents into a collection; returns when every one of them is searchable."""
    try:
        found = find(paths)
    except FileNotFoundError as error:
        fail(f"{error}: no such file or folder")
    except SameIdError as error:
        fail(f"{error}; ingest them into two collections, or the folder above both")
    common = GivenMetadata.parsed(metadata)
    with served(url, key) as http:
        progress = IngestProgress(found.documents(), err)
        uploader = Uploader(http, collection, common, progress.follow)
        _wait_ready(http, wait_ready)
        identity = {} if language is None else {"language": language}
        checked(http.put(f"/v1/collections/{quote(collection, safe='')}", json=identity))
        try:
            with progress:
                _send_all(uploader, found, progress.advance)
        except KeyboardInterrupt:
            _interrupted(collection)
    if json:
        say_json(_as_json(found, uploader.tally, collection))
    else:
        _report(found, uploader.tally, collection)
    if uploader.tally.failures:
        raise typer.Exit(1)


def _wait_ready(http: httpx.Client, seconds: float) -> None:
    """Return when /readyz says so; the time up, go on and let the first request say what is wrong."""

    def is_ready() -> bool:
        return http.get("/readyz").is_success

    if seconds:
        Retrying(
            retry=retry_if_exception_type(httpx.TransportError) | retry_if_result(lambda ready: not ready),
            stop=stop_after_delay(seconds),
            wait=wait_exponential(0.1, max=1),
            retry_error_callback=lambda _: False,
        )(is_ready)


def _send_all(uploader: Uploader, found: Found, advance: Callable[[int], None]) -> None:
    """Keep a few requests in flight, and no more than their sources in memory."""

    def send(source: Source) -> None:
        uploader.send(source)
        advance(source.documents)

    sources = iter(found)
    threads, is_interrupted = ThreadPoolExecutor(CONCURRENT_REQUESTS), False
    try:
        running = {threads.submit(send, source) for source in islice(sources, CONCURRENT_REQUESTS)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            running |= {threads.submit(send, source) for source in islice(sources, len(done))}
    except KeyboardInterrupt:
        is_interrupted = True
        raise
    finally:
        threads.shutdown(wait=not is_interrupted, cancel_futures=is_interrupted)


def _interrupted(collection: str) -> NoReturn:
    """Say what goes on, and end at once, as whatever is interrupted does: requests under way may take long."""
    err.print(
        "quarry: interrupted; the server goes on with the files that it has received: "
        f"`quarry jobs list --collection {collection}` shows them, `quarry jobs cancel` ends one",
        markup=False,
    )
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
    raise typer.Exit(1)  # where that signal is blocked


def _report(found: Found, tally: Tally, collection: str) -> None:
    for path in found.passed_over:
        why = "a link out of the folder" if path.is_symlink() else f"type {path.suffix or 'unknown'}"
        err.print(f"not read: {printable(path)} ({why})", markup=False)
    for skipped in tally.empty[:_SHOWN]:
        err.print(f"skipped: {skipped} (empty)", markup=False)
    if len(tally.empty) > _SHOWN:
        err.print(f"... and {len(tally.empty) - _SHOWN} more that are empty")
    for failure in tally.failures[:_SHOWN]:
        err.print(f"failed: {failure}", style="red", markup=False)
    if len(tally.failures) > _SHOWN:
        err.print(f"... and {len(tally.failures) - _SHOWN} more failures", style="red")
    outcomes = dict(sorted(tally.outcomes.items())) | (
        {"not read": len(found.passed_over)} if found.passed_over else {}
    )
    words = {"skipped": "skipped as empty"}
    counts = ", ".join(f"{count} {words.get(outcome, outcome)}" for outcome, count in outcomes.items())
    out.print(f"{collection}: {counts or 'no documents'}", markup=False)


def _as_json(found: Found, tally: Tally, collection: str) -> dict[str, object]:
    return {
        "collection": collection,
        "outcomes": dict(sorted(tally.outcomes.items())),
        "failures": tally.failures,
        "empty": tally.empty,
        "not_read": [printable(path) for path in found.passed_over],
    }
