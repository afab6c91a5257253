"""quarry keys: make, list and revoke the keys of a server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from service.cli.asking import parsed
from service.cli.console import URL_DEFAULT, JsonOption, KeyOption, err, fail, out, printable, say_json, url_of
from service.cli.served_keys import asked

app = typer.Typer(help="Make, list and revoke keys.", no_args_is_help=True)

UrlOption = Annotated[str | None, typer.Option(help=f"Ask this server. {URL_DEFAULT}")]
DataDirOption = Annotated[Path | None, typer.Option(help="Work on this directory, which no server is using.")]


class Keys(Protocol):
    """``ServedKeys`` or ``OfflineKeys``; both reply as the API does."""

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """The new key, with its text."""

    def listed(self) -> dict[str, Any]:
        """Every key, the newest last."""

    def revoke(self, key_id: str) -> dict[str, Any]:
        """The key that holds no more."""


def _opened(
    url: str | None, data_dir: Path | None, key: str | None, *, may_be_new: bool = False
) -> AbstractContextManager[Keys]:
    if data_dir is None:
        return asked(url_of(url), key)
    if url is not None:
        fail("--data-dir is for a directory that no server is using, --url for one that a server is: give one of them")
    from service.cli.offline_keys import opened  # noqa: PLC0415  only this way needs what keeps keys

    return opened(data_dir, may_be_new=may_be_new)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    scope: Annotated[list[str], typer.Option(help="query, ingest or admin; several with commas between them.")],
    collection: Annotated[
        list[str] | None,
        typer.Option(help="Collections and aliases it may use, with commas between them. [default: every one]"),
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="What documents must pass to exist for it, as JSON of the filters.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Requests begun in a minute.", min=1)] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(help="Tokens that models read and write for it in a minute.", min=1)
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at a time.", min=1)] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key, and print it: it is shown this once. The first one turns keys on."""
    body: dict[str, Any] = {
        "name": printable(name),
        "scopes": _split(scope),
        "collections": None if collection is None else _split(collection),
        "filter": None if filter_ is None else parsed(filter_, "--filter"),
        "limits": {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "concurrency": concurrency,
        },
    }
    with _opened(url, data_dir, key, may_be_new=True) as keys:
        made = keys.create(body)
    if json:
        say_json(made)
        return
    err.print(_line(made), markup=False)
    err.print("its text follows, and is shown this once: Authorization: Bearer, or QUARRY_KEY", markup=False)
    typer.echo(made["key"])


@app.command("list")
def list_(
    url: UrlOption = None, data_dir: DataDirOption = None, key: KeyOption = None, json: JsonOption = False
) -> None:
    """Every key that holds, and those revoked last; the newest stands last."""
    with _opened(url, data_dir, key) as keys:
        reply = keys.listed()
    if json:
        say_json(reply)
        return
    for entry in reply["data"]:
        out.print(_line(entry), markup=False)
    if not reply["data"]:
        err.print("there are no keys")


@app.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the key: the part of it between the points.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Let a key open nothing any more; to do it again changes nothing."""
    if id_.startswith("quarry."):  # a key's whole text: nothing but its id may come into an address, or a log of one
        fail("this is a key, not its id: give the part between its points")
    with _opened(url, data_dir, key) as keys:
        revoked = keys.revoke(id_)
    if json:
        say_json(revoked)
    else:
        out.print(_line(revoked), markup=False)


def _split(options: list[str]) -> list[str]:
    return [part.strip() for option in options for part in printable(option).split(",")]


def _line(entry: dict[str, Any]) -> str:
    """A key in one line, without its text."""
    collections = "every collection" if entry["collections"] is None else f"of {','.join(entry['collections'])}"
    limits = [f"{limit} {name.replace('_', ' ')}" for name, limit in entry["limits"].items() if limit is not None]
    parts = [
        f"{entry['id']} {entry['name']!r}: {','.join(entry['scopes'])} {collections}",
        *(["with a filter"] if entry["filter"] else []),
        *limits,
        f"made {entry['created_at'][:10]}",
        *([f"revoked {entry['revoked_at'][:10]}"] if entry["revoked_at"] else []),
    ]
    return ", ".join(parts)
