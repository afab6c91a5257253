"""quarry llm: the servers of a server's language models."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.console import (
    DEFAULT_URL,
    JsonOption,
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

app = typer.Typer(help="Look at the servers of a language model, take one out of use and back.", no_args_is_help=True)

LlmArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the language model.")]
ServerArgument = Annotated[str, typer.Argument(metavar="SERVER", help="Its URL.")]


@app.command()
def servers(llm: LlmArgument, url: UrlOption = DEFAULT_URL, key: KeyOption = None, json: JsonOption = False) -> None:
    """The servers of a language model, and what each has to do."""
    with served(url, key) as http:
        generators: dict[str, Any] = checked(http.get("/v1/status")).json()["generators"]
    if "servers" not in generators.get(llm, {}):
        names = ", ".join(name for name, one in generators.items() if "servers" in one) or "none"
        fail(f"no language model with servers is called {llm!r}; there are {names}")
    found = [{"llm": llm, "server": server["url"], **server} for server in generators[llm]["servers"]]
    if json:
        say_json({"data": found})
        return
    for server in found:
        out.print(_line(server), markup=False)


@app.command()
def drain(
    llm: LlmArgument,
    server: ServerArgument,
    wait: Annotated[int, typer.Option(min=0, max=600, help="Seconds to wait for the end of what it writes.")] = 0,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Give a server nothing new, and say what it still writes; exit code 1 when it writes after the wait."""
    reply = _asked(llm, "drain", {"server": printable(server), "wait_ms": wait * 1000}, url, key)
    _say(reply, as_json=json)
    if wait and reply["streams"]:
        err.print(f"it still writes after {wait} s: run this again, or stop it all the same", markup=False)
        raise typer.Exit(1)


@app.command()
def undrain(
    llm: LlmArgument,
    server: ServerArgument,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a server again that was drained."""
    _say(_asked(llm, "undrain", {"server": printable(server)}, url, key), as_json=json)


def _asked(llm: str, action: str, body: dict[str, Any], url: str, key: str | None) -> dict[str, Any]:
    with served(url, key) as http:
        path = f"/v1/admin/llms/{quote(llm, safe='')}:{action}"
        reply: dict[str, Any] = checked(http.post(path, json=body, timeout=None)).json()
    return reply


def _say(reply: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(reply)
    else:
        out.print(_line(reply), markup=False)


def _line(server: dict[str, Any]) -> str:
    use = "drained" if server["drained"] else "in use"
    work = f"{server['streams']} answers under way, {server['outstanding_tokens']} tokens outstanding"
    return f"{server['server']} {use}, {work}: {server['state']}"
