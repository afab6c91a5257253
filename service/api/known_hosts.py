"""Who a browser may speak for: names that lead here, and web pages that may ask.

A browser sends what any web page tells it to. A page's own name can be made to lead to 127.0.0.1 (DNS rebinding), and
then its scripts may read replies; and without that, a page may still send what it will never see answered. Where no key
guards a server, the name in Host and the page in Origin are what tells such requests from its user's.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.key_book import KeyBook
from service.api import problems
from service.errors import ForeignPageError, QuarryError, UnknownHostError
from service.telemetry.metrics import Metrics

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN = 100


class KnownHosts:
    """ASGI middleware.

    Args:
        hosts: names by which the server may be called, beside those of the loopback and addresses; without any, it may
            be called by every name where keys guard it.
        origins: of web pages that may ask for changes, beside those of the name that was called.
        metrics: where refusals are counted.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], origins: Sequence[str], metrics: Metrics) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        refusal = self._refusal(scope) if scope["type"] == "http" and self._asks_for_names(scope) else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            self._metrics.problems.labels(problems.kind_of(refusal).code).inc()
            await problems.response(Request(scope), refusal)(scope, receive, send)

    def _asks_for_names(self, scope: Scope) -> bool:
        keys: KeyBook = scope["app"].state.services.keys
        return bool(self._hosts) or not keys.are_needed

    def _refusal(self, scope: Scope) -> QuarryError | None:
        headers = Headers(scope=scope)
        hosts, origin = headers.getlist("host"), headers.get("origin")
        if len(hosts) > 1 or not all(map(self._is_ours, hosts)):
            shown = ", ".join(hosts)[:_SHOWN]
            return UnknownHostError(
                f"{shown!r} is no name of this server: loopback names, IP addresses and those in server.hosts are"
            )
        if origin is None or scope["method"] in _READING or self._may_ask(origin, hosts):
            return None
        return ForeignPageError(
            f"a page of {origin[:_SHOWN]!r} may not ask for changes; those in server.cors_origins may"
        )

    def _may_ask(self, origin: str, hosts: Sequence[str]) -> bool:
        """Pages that the server's own name serves, and those that were named."""
        return not self._origins.isdisjoint({origin, "*"}) or origin.partition("://")[2] in hosts

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server; its port says nothing, as it may be a proxy's or a tunnel's."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        except ValueError:
            return False
        return name in self._hosts or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
