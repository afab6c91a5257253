"""CORS: web pages of other origins that may read replies, where any are named."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_EXPOSED = ("x-request-id", "server-timing", "retry-after", "retry-after-ms", "x-should-retry")
_REMEMBERED_S = 600


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins ask. Their questions whether they may are answered before anybody asks for a key.

    A key is a header that a page must know and set. What a browser adds by itself, such as cookies, is never allowed:
    so it does no harm that any header may be sent, and ``*`` is as safe as a server without a browser.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            allow_credentials=False,
            expose_headers=_EXPOSED,
            max_age=_REMEMBERED_S,
        )
