"""quarry jobs."""

from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from service.cli.console import DEFAULT_URL, JsonOption, KeyOption, UrlOption, checked, out, say_json, served

app = typer.Typer(help="Uploads that a server has accepted and carries out in the background.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Its id.")]


@app.command("list")
def list_(
    collection: Annotated[str | None, typer.Option(help="Of this collection only.")] = None,
    status: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 100,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Jobs that are open or ended not long ago, the newest first."""
    wanted = {"collection": collection, "status": status, "limit": limit}
    with served(url, key) as http:
        page = _json(http.get("/v1/jobs", params={name: value for name, value in wanted.items() if value is not None}))
    if json:
        say_json(page)
        return
    for job in page["data"]:
        out.print(_line(job), markup=False)


@app.command()
def show(job: JobArgument, url: UrlOption = DEFAULT_URL, key: KeyOption = None, json: JsonOption = False) -> None:
    """One job, with what went wrong."""
    with served(url, key) as http:
        _show(_json(http.get(f"/v1/jobs/{quote(job, safe='')}")), as_json=json)


@app.command()
def cancel(job: JobArgument, url: UrlOption = DEFAULT_URL, key: KeyOption = None, json: JsonOption = False) -> None:
    """End a job; the documents that it has written stay."""
    with served(url, key) as http:
        _show(_json(http.delete(f"/v1/jobs/{quote(job, safe='')}")), as_json=json)


def _show(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(job)
        return
    out.print(_line(job), markup=False)
    if job["waits_for"]:
        out.print(f"  waits: {job['waits_for']}", markup=False)
    for error in job["errors"]:
        line = f"line {error['line']}, " if error["line"] else ""
        out.print(f"  {line}{error['id'] or 'no id'}: {error['message']}", markup=False)


def _line(job: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(job["outcomes"].items()))
    what = job["document_id"] or job["kind"]
    texts = f" embedded {job['embedded']} of {job['texts']} chunks and sentences" if job["texts"] else ""
    done = f"{job['done']}/{job['total']} {counts}".rstrip()
    return f"{job['id']} {job['status']} {job['collection']} {what} {done}{texts}"


def _json(response: httpx.Response) -> dict[str, Any]:
    reply: dict[str, Any] = checked(response).json()
    return reply
