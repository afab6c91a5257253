"""quarry backup, quarry restore."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from indexes.backup_manifest import BackupManifest
from indexes.data_directory import CATALOG, owned
from indexes.errors import DataDirectoryInUseError, IndexesError
from service.cli.console import URL_DEFAULT, KeyOption, checked, err, extent, fail, out, served, url_of

JsonOption = Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON object.")]


def backup(
    dest: Annotated[
        str, typer.Argument(help="A new folder; of a server, its name below the data directory's backups/.")
    ],
    data_dir: Annotated[Path | None, typer.Option(help="Back up this directory, which no server is using.")] = None,
    url: Annotated[str | None, typer.Option(help=f"Back up what this server serves. {URL_DEFAULT}")] = None,
    key: KeyOption = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out collections that cannot be read, and name them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Copy every collection as of one moment; a server goes on serving meanwhile."""
    if data_dir is not None and url is not None:
        fail("--data-dir is for a directory that no server is using, --url for one that a server is: give one of them")
    if data_dir is not None:
        made = _offline(data_dir, Path(dest), skip_damaged=skip_damaged)
    else:
        made = _online(url_of(url), key, {"folder": dest, "skip_damaged": skip_damaged})
    _say(made, f"backed up to {made['folder']}", json=json)


def restore(
    src: Annotated[Path, typer.Argument(help="A folder that quarry backup made.")],
    data_dir: Annotated[Path, typer.Option(help="Where the data goes: a directory that is new or has no data.")],
    json: JsonOption = False,
) -> None:
    """Verify a backup, then make its data that of a data directory; no server may be using it."""
    from indexes.restore import restore as restore_data  # noqa: PLC0415  brings FAISS, a second that others need not wait

    try:
        with _progress("verifying") as progress:
            manifest = restore_data(src, data_dir, progress)
    except IndexesError as error:
        fail(str(error))
    _say(_made(data_dir, manifest), f"restored to {data_dir}", json=json)


def _offline(data_dir: Path, dest: Path, *, skip_damaged: bool) -> dict[str, Any]:
    if not (data_dir / CATALOG).is_file():
        fail(f"{data_dir} has no data")
    from indexes.backup import back_up  # noqa: PLC0415  brings FAISS, see restore

    try:
        with owned(data_dir) as directory, _progress("copying") as progress:
            return _made(dest, back_up(directory, dest, progress, skip_damaged=skip_damaged))
    except DataDirectoryInUseError as error:
        fail(f"{error}; a server that is running is backed up with --url")
    except IndexesError as error:
        fail(str(error))


def _online(url: str, key: str | None, body: dict[str, Any]) -> dict[str, Any]:
    with served(url, key) as http, err.status("the server is copying ..."):
        made: dict[str, Any] = checked(http.post("/v1/admin/backup", json=body, timeout=None)).json()
    return made


def _made(folder: Path, manifest: BackupManifest) -> dict[str, Any]:
    """The same shape that the server replies with."""
    return {"folder": str(folder.absolute()), "bytes": manifest.bytes, "manifest": asdict(manifest)}


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes on stderr; yields what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as progress:
        bar = progress.add_task(what, total=None, visible=False)  # until it is known that there is something to do
        yield lambda done, expected: progress.update(bar, completed=done, total=expected, visible=True)


def _say(made: dict[str, Any], done: str, *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(made).decode())
        return
    for entry in made["manifest"]["collections"]:
        name = entry["name"] or f"({entry['uuid']})"
        out.print(f"{name}: {extent(entry)}", markup=False)
    for entry in made["manifest"]["left_out"]:
        out.print(f"left out: {entry['name'] or entry['uuid']}, which {entry['reason']}", markup=False)
    out.print(f"{done}: {len(made['manifest']['collections'])} collections, {made['bytes']} bytes", markup=False)
