"""quarry collections: list, look at and delete them."""

from typing import Annotated
from urllib.parse import quote

import typer

from service.cli.console import (
    DEFAULT_URL,
    JsonOption,
    KeyOption,
    UrlOption,
    checked,
    err,
    extent,
    out,
    say_json,
    served,
)

app = typer.Typer(help="List collections, look at one, delete one.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the collection.")]


@app.command("list")
def list_(url: UrlOption = DEFAULT_URL, key: KeyOption = None, json: JsonOption = False) -> None:
    """Every collection, and those that cannot be read."""
    with served(url, key) as http:
        reply = checked(http.get("/v1/collections")).json()
    if json:
        say_json(reply)
        return
    for entry in reply["data"]:
        out.print(f"{entry['name']}: {extent(entry)}", markup=False)
    for name, reason in reply["unavailable"].items():
        err.print(f"{name} cannot be read: {reason}", style="yellow", markup=False)


@app.command()
def show(name: NameArgument, url: UrlOption = DEFAULT_URL, key: KeyOption = None, json: JsonOption = False) -> None:
    """A collection's identity and extent; `quarry index stats` says how it is searched."""
    with served(url, key) as http:
        reply = checked(http.get(_path(name))).json()
    if json:
        say_json(reply)
        return
    out.print(f"{reply['name']}: {extent(reply)}", markup=False)
    out.print(f"{reply['embedding_model']}, {reply['dimension']} dimensions, {reply['metric']}", markup=False)
    out.print(f"words: {reply['language']}", markup=False)
    chunking = reply["chunking"]
    out.print(f"chunks of {chunking['size']} tokens, {chunking['overlap']} shared; version {reply['index_version']}")


@app.command()
def delete(
    name: NameArgument,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a collection with its documents and files."""
    if not yes:
        typer.confirm(f"Delete the collection {name!r} with everything in it?", abort=True, err=True)
    with served(url, key) as http:
        reply = checked(http.delete(_path(name))).json()
    if json:
        say_json(reply)
    else:
        out.print(f"deleted {name}", markup=False)


def _path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}"
