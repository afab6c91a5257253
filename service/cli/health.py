"""quarry health."""

from typing import Annotated, Any

import httpx
import typer

from service.cli.console import DEFAULT_URL, JsonOption, UrlOption, fail, out, problem_detail, say_json, served

_TIMEOUT_S = 5.0


def health(
    url: UrlOption = DEFAULT_URL,
    ready: Annotated[
        bool, typer.Option("--ready", help="Whether search can serve, not only whether the process answers.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say whether a server is well; the exit code is 0 if it is, else 1. It needs no key."""
    with served(url, None) as http:
        reply = _well(http.get("/readyz" if ready else "/healthz", timeout=_TIMEOUT_S))
    if json:
        say_json(reply)
        return
    lost = reply.get("degraded")
    out.print(f"{reply['status']}, but for {', '.join(lost)}" if lost else reply["status"], markup=False)


def _well(response: httpx.Response) -> dict[str, Any]:
    """What a server says that is well; else fail with its reasons."""
    try:
        reply = response.json()
    except ValueError:
        fail(f"{response.status_code}: what answers at {response.url} is no Quarry")
    match reply:
        case {"status": str()} if response.is_success:
            return dict(reply)
        case {"status": "unavailable", "reasons": [*reasons]}:
            fail(f"{response.status_code}: {'; '.join(map(str, reasons))}")
        case _:
            fail(f"{response.status_code}: {problem_detail(response)}")
