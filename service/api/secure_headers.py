"""What every reply tells a browser: take it for what it says it is, show it nowhere, keep it nowhere."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of a reply that does not set them itself."""

# For the reference page: one style sheet in its head, alignments in the cells of its tables, and no script.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# For the playground: its own scripts and its own style, and no text that becomes markup (`require-trusted-types-for`).
PLAYGROUND_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

_RAW = tuple((name.encode(), value.encode()) for name, value in SECURE.items())


class SecureHeaders:
    """ASGI middleware; what a route sets itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                own = {name.lower() for name, _ in headers}
                message = {**message, "headers": [*headers, *(each for each in _RAW if each[0] not in own)]}
            await send(message)

        await self._app(scope, receive, send_secured)
