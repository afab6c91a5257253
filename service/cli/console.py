"""What every command shares: where it writes, how it fails."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import orjson
import typer
from rich.console import Console

from service.settings import KEY_VARIABLE, URL_VARIABLE, url_to_ask

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DEFAULT_URL = "http://127.0.0.1:8080"
UrlOption = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="The server.")]
# Of commands that may work without a server instead: only where they do not, the variable counts.
URL_DEFAULT = f"[env var: {URL_VARIABLE}; default: {DEFAULT_URL}]"
KeyOption = Annotated[
    str | None,
    typer.Option(envvar=KEY_VARIABLE, help="API key; better in the variable, as others can see a command line."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the reply as one JSON object.")]
CollectionOption = Annotated[str, typer.Option(help="Name of the collection.")]
_TIMEOUT_S = 600.0
# What to do about it, by the code of a problem, where its own words do not say.
_FIXES = {
    "unauthenticated": "give the server's key in QUARRY_KEY",
    "overloaded": "try again in a moment",
    "embedder_unavailable": "quarry doctor looks for the cause",
    "vector_store_unavailable": "quarry doctor looks for the cause",
    "llm_unavailable": "--llm extractive quotes without a language model",
    "internal_error": "the server's log has it",
}


def fail(message: str, exit_code: int = 1) -> NoReturn:
    """Say what went wrong and end."""
    err.print(f"quarry: {message}", style="red", markup=False)
    raise typer.Exit(exit_code)


def client(url: str, key: str | None) -> httpx.Client:
    """A client of the server at ``url``."""
    key = key and key.strip()  # a file of variables may end its lines in another way
    if key and not (key.isascii() and key.isprintable()):
        fail("--key has characters that a header cannot carry")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # OpenSSL's own, which knows SSL_CERT_FILE and SSL_CERT_DIR: nodes have certificates of their companies.
    trusted = ssl.create_default_context()
    try:
        return httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=_TIMEOUT_S, trust_env=False, verify=trusted
        )
    except httpx.InvalidURL as error:
        fail(f"--url {url!r}: {error}")


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success; else fail with what the server said."""
    if response.is_success:
        return response
    fix = _FIXES.get(problem_code(response) or "")
    fail(f"{response.status_code}: {problem_detail(response)}" + (f" ({fix})" if fix else ""))


@contextmanager
def served(url: str, key: str | None) -> Iterator[httpx.Client]:
    """A client of the server at ``url``; when that cannot be reached, or is lost, it is said, and that is all."""
    with client(url, key) as http:
        try:
            yield http
        except httpx.TransportError as error:
            fail(f"{url} cannot be reached: {error} (does quarry serve run there?)")


def url_of(url: str | None) -> str:
    """The server to be asked, where a command has no need of one."""
    return url or url_to_ask() or DEFAULT_URL


def say_json(reply: Any) -> None:  # noqa: ANN401
    """One JSON object on stdout."""
    typer.echo(orjson.dumps(reply).decode())


def extent(collection: dict[str, Any]) -> str:
    """Documents and chunks of a collection in words; who sees a part of it is told no chunks."""
    chunks = "" if collection["chunks"] is None else f", {counted(collection['chunks'], 'chunk')}"
    return f"{counted(collection['documents'], 'document')}{chunks}"


def counted(count: int, noun: str) -> str:
    """A number of things whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(name: str | Path) -> str:
    """A file's name in characters that UTF-8 has: one that is not UTF-8 shows its bytes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def problem_code(response: httpx.Response) -> str | None:
    """The code of a problem+json; None where there is none."""
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None


def problem_detail(response: httpx.Response) -> str:
    """What a problem+json says; the status phrase where there is none."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
