"""quarry documents: list, read and delete those of a collection."""

from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from service.cli.asking import FiltersOption, parsed
from service.cli.console import (
    DEFAULT_URL,
    CollectionOption,
    JsonOption,
    KeyOption,
    UrlOption,
    checked,
    fail,
    out,
    say_json,
    served,
)

app = typer.Typer(help="List the documents of a collection, read one, delete some.", no_args_is_help=True)


@app.command("list")
def list_(
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    limit: Annotated[int, typer.Option(help="Documents at a time, 1000 at most.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    json: JsonOption = False,
) -> None:
    """Documents by id, a page at a time."""
    asked: dict[str, Any] = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
    with served(url, key) as http:
        reply = checked(http.get(_path(collection), params=asked)).json()
    if json:
        say_json(reply)
        return
    for entry in reply["data"]:
        out.print(f"{entry['id']}  {entry['title']}", markup=False)
    if reply["next_cursor"] is not None:
        out.print(f"... more with --cursor {reply['next_cursor']!r}", style="dim", markup=False)


@app.command()
def get(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="Of the document.")],
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """A document's text as it is stored."""
    with served(url, key) as http:
        reply = checked(http.get(f"{_path(collection)}/{quote(document_id, safe='')}")).json()
    if json:
        say_json(reply)
    else:
        typer.echo(reply["text"])


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Documents to delete.")] = None,
    collection: CollectionOption = "default",
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    filters: FiltersOption = None,
    json: JsonOption = False,
) -> None:
    """Delete documents by id or by filter; `quarry index purge` also removes their bytes."""
    if bool(ids) == (filters is not None):
        fail("give either ids or --filters")
    chosen = None if filters is None else parsed(filters, "--filters")
    with served(url, key) as http:
        reply = _deleted(http, collection, ids or [], chosen)
    if json:
        say_json(reply)
    else:
        out.print(f"{collection}: {reply['deleted']} deleted, version {reply['index_version']}", markup=False)


def _deleted(http: httpx.Client, collection: str, ids: list[str], filters: object) -> dict[str, Any]:
    """As one delete would say it."""
    if not ids:
        reply: dict[str, Any] = checked(http.post(f"{_path(collection)}:delete", json={"filters": filters})).json()
        return reply
    replies = [checked(http.delete(f"{_path(collection)}/{quote(each, safe='')}")).json() for each in ids]
    return {"deleted": sum(each["deleted"] for each in replies), "index_version": replies[-1]["index_version"]}


def _path(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}/documents"
