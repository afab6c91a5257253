"""quarry index: look at the index of a collection, and keep it in order."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.configuration import settings_or_fail
from service.cli.console import URL_DEFAULT, KeyOption, counted, err, extent, fail, out, url_of
from service.cli.served_index import asked

_LOOK_S = 0.3

app = typer.Typer(help="Look at the index of a collection, and keep it in order.", no_args_is_help=True)

CollectionArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
UrlOption = Annotated[str | None, typer.Option(help=f"Ask this server. {URL_DEFAULT}")]
DataDirOption = Annotated[Path | None, typer.Option(help="Work on this directory, which no server is using.")]
ConfigOption = Annotated[Path | None, typer.Option(help="A TOML file of settings, for --data-dir.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the reply as one JSON object.")]


class Index(Protocol):
    """A ``ServedIndex`` or an ``OfflineIndex``."""

    def stats(self) -> dict[str, Any]:
        """The collection."""

    def rebuild(self) -> dict[str, Any]:
        """The collection, when its index is new."""

    def verify(self) -> dict[str, Any]:
        """What was compared, and the problems."""

    def calibrate(self) -> dict[str, Any]:
        """The curve."""

    def purge(self, ids: list[str], filters: dict[str, Any] | None) -> dict[str, Any]:
        """What was deleted, and the proof."""

    def working_on(self) -> dict[str, Any] | None:
        """What is being done, and how far it is."""


@dataclass(frozen=True, slots=True)
class _Where:
    """A collection on a server or in a directory."""

    collection: str
    url: str | None
    data_dir: Path | None
    key: str | None
    config: Path | None

    def opened(self) -> AbstractContextManager[Index]:
        if self.data_dir is None:
            return asked(url_of(self.url), self.key, self.collection)
        if self.url is not None:
            fail(
                "--data-dir is for a directory that no server is using, --url for one that a server is: "
                "give one of them"
            )
        from service.cli.offline_index import opened  # noqa: PLC0415  brings FAISS, which a server has already

        return opened(self.data_dir, self.collection, settings_or_fail(self.config).index)


@app.command()
def stats(
    collection: CollectionArgument,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say how a collection is searched, and how well."""
    with _Where(collection, url, data_dir, key, config).opened() as index:
        _say(index.stats(), _told_stats, json=json)


@app.command()
def verify(
    collection: CollectionArgument,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Read every file, and compare every vector in memory with the stored one; exit code 1 when something is wrong."""
    with _Where(collection, url, data_dir, key, config).opened() as index:
        found = _watched(index, index.verify)
    _say(found, _told_verification, json=json)
    if found["problems"]:
        raise typer.Exit(1)


@app.command()
def rebuild(
    collection: CollectionArgument,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Build the index anew from the stored vectors; searches go on."""
    with _Where(collection, url, data_dir, key, config).opened() as index:
        _say(_watched(index, index.rebuild), _told_stats, json=json)


@app.command()
def calibrate(
    collection: CollectionArgument,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the recall of the index again, and take the cheapest setting that reaches the target."""
    with _Where(collection, url, data_dir, key, config).opened() as index:
        _say(_watched(index, index.calibrate), _told_curve, json=json)


@app.command()
def purge(
    collection: CollectionArgument,
    id_: Annotated[list[str] | None, typer.Option("--id", help="A document to delete; may be repeated.")] = None,
    filters: Annotated[str | None, typer.Option(help="Documents to delete, as JSON of the search's filters.")] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete documents, remove from every file what was ever deleted, and search the files for it."""
    chosen = _parsed(filters)
    with _Where(collection, url, data_dir, key, config).opened() as index:
        _say(_watched(index, lambda: index.purge(id_ or [], chosen)), _told_purge, json=json)


def _parsed(filters: str | None) -> dict[str, Any] | None:
    if filters is None:
        return None
    try:
        parsed: dict[str, Any] = orjson.loads(filters)
    except orjson.JSONDecodeError as error:
        fail(f"--filters is not JSON: {error}")
    return parsed


def _watched(index: Index, job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the job returns; while it goes on, a bar on stderr says how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ThreadPoolExecutor(1) as thread, Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("working", total=None)
        running = thread.submit(job)
        while True:
            try:
                return running.result(_LOOK_S)
            except FutureTimeoutError:
                work = index.working_on()
                if work:
                    progress.update(bar, description=work["what"], completed=work["done"], total=work["total"] or None)


def _say(reply: dict[str, Any], told: Callable[[dict[str, Any]], list[str]], *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(reply).decode())
        return
    for line in told(reply):
        out.print(line, markup=False)


def _told_stats(reply: dict[str, Any]) -> list[str]:
    index = reply["index"]
    lines = [
        f"{reply['name']}: {extent(reply)}, version {reply['index_version']}",
        f"{reply['embedding_model']}, {reply['dimension']} dimensions, {reply['metric']}",
    ]
    if index is None:
        return [*lines, "the index is shown to keys without a filter"]
    recall = index["recall"]
    for part in index["segments"]:
        lines.append(f"{part['index']}: {part['live_rows']} live rows, {part['tier']}")
        if "curve" in part:
            lines.append(
                f"  nprobe {part['nprobe']} of {part['nlist']}, refine {part['refine']}: recall "
                f"{part['expected_recall']:.4f} expected, {part['target_recall']:g} wanted"
            )
    measured = "no search compared yet"
    if recall["recall"] is not None:
        low, high = recall["low"], recall["high"]
        measured = f"{recall['recall']:.4f} ({low:.4f} to {high:.4f}) of {recall['searches']} searches"
    saved = index["snapshot"]
    return [
        *lines,
        f"live recall: {measured}",
        f"memory: {index['bytes']} bytes, {index['dead_rows']} dead rows",
        *(_told_words(words) for words in [index["lexical"]] if words),
        f"snapshot: {saved['name'].partition('-')[0]}, {saved['age_s']:.0f} s old" if saved else "snapshot: none",
        *(f"working on: {work['what']}, {work['done']} of {work['total']}" for work in [index["working_on"]] if work),
        *(f"trouble: {trouble}" for trouble in index["trouble"]),
    ]


def _told_words(words: dict[str, Any]) -> str:
    rows, newest = words["rows"], words["newest_rows"]
    return f"words: {words['state']}, {rows} rows, {newest} of them in memory, {words['bytes']} bytes"


def _told_verification(reply: dict[str, Any]) -> list[str]:
    counts = f"{reply['rows']} rows and {reply['vectors']} vectors compared at version {reply['index_version']}"
    return [*(f"problem: {problem}" for problem in reply["problems"]), f"{counts}: {len(reply['problems'])} problems"]


def _told_curve(reply: dict[str, Any]) -> list[str]:
    chosen, is_met = reply["chosen"], "" if reply["meets_target"] else ", which no setting reaches with its margin"
    return [
        f"nprobe {chosen['nprobe']}, refine {chosen['refine']}: recall {chosen['recall']:.4f}",
        f"chosen of {len(reply['points'])} settings that no other beats, measured with {reply['queries']} rows for "
        f"{reply['target_recall']:g}{is_met}",
    ]


def _told_purge(reply: dict[str, Any]) -> list[str]:
    proof = reply["proof"]
    return [
        f"{counted(reply['deleted'], 'document')} deleted, version {reply['index_version']}",
        _told_proof(proof),
    ]


def _told_proof(proof: dict[str, Any]) -> str:
    searched = f"{proof['files']} files ({proof['bytes']} bytes)"
    if not proof["needles"]:
        return f"nothing was left of deleted documents that could be looked for in the {searched}"
    shared = f"; {proof['shared']} more stand in what stays, too" if proof["shared"] else ""
    return (
        f"{proof['needles']} pieces of text and vectors of what was deleted were looked for in all {searched}: "
        f"{proof['found']} found{shared}"
    )
