"""What every command shares: where it writes, how it fails."""

from typing import Annotated, NoReturn

import httpx
import typer
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DEFAULT_URL = "http://127.0.0.1:8080"
UrlOption = Annotated[str, typer.Option(help="The server.")]
KeyOption = Annotated[str | None, typer.Option(help="API key.")]
CollectionOption = Annotated[str, typer.Option(help="Name of the collection.")]
_TIMEOUT_S = 600.0


def fail(message: str) -> NoReturn:
    """Say what went wrong and end with exit code 1."""
    err.print(f"quarry: {message}", style="red", markup=False)
    raise typer.Exit(1)


def client(url: str, key: str | None) -> httpx.Client:
    """A client of the server at ``url``."""
    if key and not key.isascii():
        fail("--key has characters that a header cannot carry")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=_TIMEOUT_S, trust_env=False)
    except httpx.InvalidURL as error:
        fail(f"--url {url!r}: {error}")


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success; else fail with what the server said."""
    if response.is_success:
        return response
    fail(f"{response.status_code}: {problem_detail(response)}")


def problem_detail(response: httpx.Response) -> str:
    """What a problem+json says; the status phrase where there is none."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
