"""A language model's server: is it there, is it the model that the settings name, and does it speak?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from service.doctor.check import Finding, failure, ok, warning
from service.doctor.sockets import refusal
from service.llm_settings import LlmSettings

_CONNECT_S, _REPLY_S = 2.0, 5.0
_TOKEN_S = 20.0
_QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 1, "temperature": 0}
_SCHEME = "unix://"


def look_at_llm(name: str, settings: LlmSettings, url: str) -> Iterator[Finding]:
    """Reach it, compare name and context with the settings, and have one token."""
    title = f"llm {name}"
    # httpx would leave a socket that is refused to the garbage collector.
    refused = refusal(Path(url.removeprefix(_SCHEME))) if url.startswith(_SCHEME) else None
    if refused:
        yield _unreachable(title, settings, url, refused)
        return
    with _client(settings, url) as client:
        try:
            reply = client.get("/v1/models")
        except httpx.HTTPError as error:
            yield _unreachable(title, settings, url, error)
            return
        if not reply.is_success:
            advice = f"check llm.{name}.url and llm.{name}.key"
            yield failure(title, f"{url}/v1/models replied {reply.status_code}", advice)
            return
        served = _models(reply)
        if settings.model not in served:
            names = ", ".join(map(repr, served)) or "nothing"
            yield failure(
                title, f"{url} serves {names}, not {settings.model!r}", f"set llm.{name}.model to what it serves"
            )
            return
        yield ok(title, f"{url} serves {settings.model!r}")
        yield from _context(name, settings, served[settings.model].get("max_model_len"))
        yield _spoken(title, settings, client)


def _unreachable(title: str, settings: LlmSettings, url: str, error: Exception) -> Finding:
    found = f"{url} cannot be reached: {type(error).__name__}: {error}"
    if settings.managed:
        return warning(title, found, "quarry up starts it; until then answers are quotes")
    meanwhile = "the others answer" if settings.has_several else "answers are quotes"
    return failure(title, found, f"start the server; until then {meanwhile}")


def _context(name: str, settings: LlmSettings, served: object) -> Iterator[Finding]:
    title = f"llm {name} context"
    if not isinstance(served, int):
        yield ok(title, f"the server does not say; {settings.context} tokens are set")
    elif served < settings.context:
        found = f"the server takes {served} tokens, llm.{name}.context is {settings.context}"
        yield warning(title, found, f"{served} is used; set llm.{name}.context to it, or start the server with more")
    elif served > settings.context:
        found = f"the server takes {served} tokens, of which llm.{name}.context uses {settings.context}"
        yield ok(title, found)
    else:
        yield ok(title, f"{served} tokens, as the server has it")


def _spoken(title: str, settings: LlmSettings, client: httpx.Client) -> Finding:
    try:
        reply = client.post("/v1/chat/completions", json={"model": settings.model, **_QUESTION}, timeout=_TOKEN_S)
        tokens = reply.raise_for_status().json()["choices"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        found = f"no token came: {type(error).__name__}: {error}"
        return failure(title, found, "see the log of the model server: one that is up may be hung")
    if not tokens:
        return failure(title, "the reply to a question has no choices", "see the log of the model server")
    return ok(title, f"a token came after {reply.elapsed.total_seconds() * 1000:.0f} ms")


def _client(settings: LlmSettings, url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}"} if settings.key else {}
    timeout = httpx.Timeout(_REPLY_S, connect=_CONNECT_S)
    if url.startswith(_SCHEME):
        transport = httpx.HTTPTransport(uds=url.removeprefix(_SCHEME))
        return httpx.Client(transport=transport, base_url="http://llm", headers=headers, timeout=timeout)
    return httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout, trust_env=False)


def _models(reply: httpx.Response) -> dict[str, dict[str, Any]]:
    """By name, as OpenAI's protocol lists them; empty for a reply of another shape."""
    try:
        return {str(model["id"]): model for model in reply.json()["data"]}
    except (ValueError, LookupError, TypeError):
        return {}
