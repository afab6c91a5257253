"""GET /: the playground, a page that asks the server it comes from, and the files that the page is made of.

Each file has a route of its own: what a request names is never looked for on the disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, Request, Response

from service.api.access import NOTHING
from service.api.route import CheckedRoute
from service.api.secure_headers import PLAYGROUND_POLICY

_PAGE = "index.html"
_PARTS = (
    "answer.css", "controls.css", "gauges.css", "layout.css", "theme.css", "icon.svg",
    "answer.js", "asking.js", "code_points.js", "collections.js", "document.js", "element.js", "event_stream.js",
    "figures.js", "key.js", "main.js", "memory.js", "outcome.js", "problem.js", "question.js", "server.js",
    "sources.js", "status.js", "transfer.js", "upload.js", "uploads.js", "waterfall.js",
)  # fmt: skip
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_NAMES: Mapping[str, str] = {"/": _PAGE} | {f"/playground/{name}": name for name in _PARTS}

PATHS = frozenset(_NAMES)
"""Of the page and its files: they say nothing of anybody's, and are open to everybody."""

# A path takes any query: what a proxy adds to it after a login changes nothing.
router = APIRouter(route_class=CheckedRoute, dependencies=[NOTHING])


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    headers: Mapping[str, str]
    media_type: str

    @classmethod
    def of(cls, name: str) -> "_File":
        content = files("service.playground").joinpath(name).read_bytes()
        headers = {
            "ETag": f'"{sha256(content).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",  # kept, and asked for again: it changes with the server
            "Content-Security-Policy": PLAYGROUND_POLICY,
        }
        return cls(content, headers, _TYPES[PurePath(name).suffix])

    def reply(self, known: str) -> Response:
        """The file, or a 304 to whoever has it.

        Args:
            known: what If-None-Match says; a proxy that compresses makes weak tags of ours.
        """
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if self.headers["ETag"] in tags or "*" in tags:
            return Response(status_code=304, headers=self.headers)
        return Response(self.content, headers=self.headers, media_type=self.media_type)


class Playground:
    """The files as they are when this is made."""

    def __init__(self) -> None:
        self._files = {path: _File.of(name) for path, name in _NAMES.items()}

    def reply(self, request: Request) -> Response:
        """To a request for one of ``PATHS``."""
        return self._files[request.scope["route"].path].reply(request.headers.get("if-none-match", ""))


async def playground(request: Request) -> Response:
    """One of the files."""
    served: Playground = request.app.state.playground
    return served.reply(request)


for _path in _NAMES:
    router.add_api_route(_path, playground, methods=["GET", "HEAD"], include_in_schema=False)
