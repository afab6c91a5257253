"""Canary: the parent's own questions to a vLLM server."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from service.generation.base import Priority

# What only the engine moves: tokens, and the cache blocks that a long prompt takes before its first token. The server
# in front of a hung engine goes on counting other things.
_ENGINE_COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")


class CanaryError(Exception):
    """No token; the message says what came instead."""


class Canary:
    """A client of the server on a Unix socket; an async context manager.

    Args:
        model: the name the server knows it by.
        key: bearer token.
        has_priorities: the server takes ``priority``; one that does not refuses a request with it.
    """

    def __init__(self, socket: Path, model: str, key: str | None, *, has_priorities: bool) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://vllm", headers=headers, trust_env=False)
        message = {"role": "user", "content": "."}
        self._body: dict[str, Any] = {"model": model, "messages": [message], "max_tokens": 1, "temperature": 0}
        if has_priorities:
            self._body["priority"] = int(Priority.CANARY)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def is_healthy(self, within_s: float) -> bool:
        """The server answers; its engine may hang nevertheless."""
        try:
            return (await self._http.get("/health", timeout=within_s)).is_success
        except httpx.HTTPError:
            return False

    async def token(self, within_s: float) -> None:
        """Have one token made.

        Raises:
            CanaryError: none was.
        """
        try:
            response = await self._http.post("/v1/chat/completions", json=self._body, timeout=within_s)
        except httpx.HTTPError as error:
            raise CanaryError(f"{type(error).__name__}: {error}") from error
        if not response.is_success:
            raise CanaryError(f"status {response.status_code}: {response.text[:300]}")

    async def counters(self, within_s: float) -> tuple[str, ...] | None:
        """The lines of /metrics that only a living engine changes; None where there is no answer."""
        try:
            response = await self._http.get("/metrics", timeout=within_s)
        except httpx.HTTPError:
            return None
        if not response.is_success:
            return None
        return tuple(line for line in response.text.splitlines() if line.startswith(_ENGINE_COUNTERS))
