"""The routes of the fake server."""

import time
from collections import deque
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from loadtests.fake_vllm.answering import Answering
from loadtests.fake_vllm.bodies import Chat, Completion, Tokenize
from loadtests.fake_vllm.engine import Engine
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.refusals import Refusal
from loadtests.fake_vllm.script import Orders
from loadtests.fake_vllm.tokens import ids

_VERSION = "0.32.0"
_BODIES_KEPT = 100


class FakeApp:
    """The fake server as an ASGI application.

    Attributes:
        requests: the last bodies of generation requests, as they came, the newest last.
    """

    def __init__(self, options: Options) -> None:
        self.engine = Engine(options)
        self.requests: deque[dict[str, Any]] = deque(maxlen=_BODIES_KEPT)
        self._started = int(time.time())
        self._app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/version", self._version),
                Route("/v1/models", self._models),
                Route("/metrics", self._metrics),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/completions", self._completion, methods=["POST"]),
                Route("/fake/script", self._script, methods=["POST"]),
                Route("/fake/state", self._state),
            ],
            exception_handlers={Refusal: _refused},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, once the server is not frozen."""
        if scope["type"] == "http" and not scope["path"].startswith("/fake/"):
            await self.engine.script.until_not("frozen")
        await self._app(scope, receive, send)

    async def _health(self, _: Request) -> Response:
        return Response(status_code=503 if self.engine.script.engine == "dead" else 200)

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": _VERSION})

    async def _models(self, _: Request) -> Response:
        options = self.engine.options
        model = {"id": options.model, "object": "model", "created": self._started, "owned_by": "vllm"}
        model |= {"root": options.model, "parent": None, "max_model_len": options.max_model_len, "permission": []}
        return JSONResponse({"object": "list", "data": [model]})

    async def _metrics(self, _: Request) -> Response:
        return Response(self.engine.measures.exposition(), media_type="text/plain; version=0.0.4")

    async def _tokenize(self, request: Request) -> Response:
        body = _parsed(Tokenize, await request.body())
        self._known(body.model)
        tokens = body.tokens()
        counted = {"count": len(tokens), "max_model_len": self.engine.options.max_model_len, "tokens": ids(tokens)}
        return JSONResponse(counted | {"token_strs": tokens if body.return_token_strs else None})

    async def _chat(self, request: Request) -> ASGIApp:
        return self._answering(_parsed(Chat, await request.body()), await request.json())

    async def _completion(self, request: Request) -> ASGIApp:
        return self._answering(_parsed(Completion, await request.body()), await request.json())

    def _answering(self, body: Chat | Completion, as_it_came: dict[str, Any]) -> ASGIApp:
        self.requests.append(as_it_came)
        self._known(body.model)
        if self.engine.script.engine == "dead":
            raise Refusal.dead()
        return Answering(self.engine, self.engine.sequence(body))

    def _known(self, model: str | None) -> None:
        if model not in {None, self.engine.options.model}:
            raise Refusal.unknown_model(str(model), self.engine.options.model)

    async def _script(self, request: Request) -> Response:
        self.engine.script.follow(_parsed(Orders, await request.body()))
        return Response(status_code=204)

    async def _state(self, _: Request) -> Response:
        return JSONResponse(self.state())

    def state(self) -> dict[str, Any]:
        """What is and was going on: the reply of ``GET /fake/state``."""
        scheduler = self.engine.scheduler
        names = ("running", "waiting", "finished", "aborted", "refused")
        return {name: getattr(scheduler, name) for name in names} | {"requests": list(self.requests)}


Body = TypeVar("Body", bound=BaseModel)


def _parsed(kind: type[Body], body: bytes) -> Body:
    try:
        return kind.model_validate_json(body)
    except ValidationError as errors:
        raise Refusal.of_body(errors) from None


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101  starlette hands over what was registered
    return JSONResponse(refusal.body, refusal.status)
