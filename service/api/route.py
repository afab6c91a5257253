"""Route: what may be asked is checked by the head of a request alone; only then is its body read."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, ClassVar, NamedTuple

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params, solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from service.api.bodies import Bodies, missing, validated
from service.api.body_limit import narrow
from service.api.known_query import refuse_unknown_query
from service.api.media_type import JSON, require_json
from service.api.queries_only import check_served

Values = dict[str, Any]


class CheckedRoute(APIRoute):
    """One that FastAPI knows by its signature and describes; what a request goes through is here.

    First comes whatever looks at its head (``Needs`` above all), then type and size of the body, then the body.

    Attributes:
        refuses_unknown_query: that it does not read; in others' shapes their clients may send what they like.
        takes_many_inputs: as many texts as the largest body holds.
    """

    refuses_unknown_query: ClassVar[bool] = False
    takes_many_inputs: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it. What is given to ``include_router`` cannot be seen: dependencies belong here."""
        return partial(_answered, self, _Head.of(self), _Body.of(self), _Reply.of(self))


class NativeRoute(CheckedRoute):
    """One in a shape of our own."""

    refuses_unknown_query: ClassVar[bool] = True


class ManyInputsRoute(CheckedRoute):
    """One for texts by the thousand."""

    takes_many_inputs: ClassVar[bool] = True


class _Plain(NamedTuple):
    """A dependency that takes no more than the request, and the argument of the endpoint that it gives, if any."""

    name: str | None
    call: Callable[..., Awaitable[Any]]
    takes_request: bool

    @classmethod
    def of(cls, dependant: Dependant) -> "_Plain | None":
        """None where it takes more, or runs on a thread."""
        call = dependant.call
        assert call is not None  # noqa: S101  FastAPI's type hides that only the empty one has none
        is_async = iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
        named = (
            dependant.response_param_name,
            dependant.http_connection_param_name,
            dependant.background_tasks_param_name,
        )
        if dependant.dependencies or get_flat_params(dependant) or any(named) or not is_async:
            return None
        return cls(dependant.name, call, dependant.request_param_name is not None)


@dataclass(frozen=True, slots=True)
class _Head:
    """What a route makes of the head.

    Attributes:
        plain: the dependencies that need no solving.
        params: all else, which FastAPI solves; None where there is nothing.
        query: parameters that may be given; None where any may.
    """

    plain: Sequence[_Plain]
    params: Dependant | None
    query: frozenset[str] | None
    request_name: str | None
    response_name: str | None

    @classmethod
    def of(cls, route: CheckedRoute) -> "_Head":
        whole = route.dependant
        plain = [(each, _Plain.of(each)) for each in whole.dependencies]
        rest = replace(whole, dependencies=[each for each, is_plain in plain if not is_plain], body_params=[])
        fields = [field for field in get_flat_params(whole) if isinstance(field.field_info, Query)]
        return cls(
            plain=[each for _, each in plain if each],
            params=rest if rest.dependencies or get_flat_params(rest) else None,
            query=frozenset(field.alias for field in fields) if route.refuses_unknown_query else None,
            request_name=whole.request_param_name,
            response_name=whole.response_param_name,
        )

    async def values(self, request: Request, response: Response) -> Values:
        """Arguments of the endpoint.

        Raises:
            RequestValidationError: a parameter is not what it is to be.
            ForbiddenError: the caller may not ask this.
        """
        values: Values = {}
        for each in self.plain:
            value = await (each.call(request) if each.takes_request else each.call())
            if each.name is not None:
                values[each.name] = value
        if self.query is not None:
            refuse_unknown_query(request, self.query)
        if self.params is not None:
            return values | await _solved(self.params, request, response)
        for name, given in ((self.request_name, request), (self.response_name, response)):
            if name is not None:
                values[name] = given
        return values


@dataclass(frozen=True, slots=True)
class _Body:
    """The body in the signature of a route.

    Attributes:
        is_required: else nothing is None.
        is_small: no more is read than the settings grant to such.
    """

    name: str
    adapter: TypeAdapter[Any]
    is_required: bool
    is_small: bool

    @classmethod
    def of(cls, route: CheckedRoute) -> "_Body | None":
        params = route.dependant.body_params
        if not params:
            return None
        (param,) = params
        annotation: Any = param.field_info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        return cls(param.name, adapter, param.field_info.is_required(), not route.takes_many_inputs)

    async def read(self, request: Request) -> Any:  # noqa: ANN401  whatever the signature has
        """The argument of the endpoint.

        Raises:
            UnsupportedMediaTypeError: it is announced as something else than JSON; not a byte was read.
            HTTPException: it is too large, or comes too slowly, or no parser takes it.
            InvalidRequestError, RequestValidationError: see ``validated``.
        """
        require_json(request)
        if self.is_small:
            narrow(request)
        raw = await request.body()
        if raw:
            bodies: Bodies = request.app.state.bodies
            return await bodies.read(raw, partial(validated, adapter=self.adapter))
        if self.is_required:
            raise missing()
        return None


@dataclass(frozen=True, slots=True)
class _Reply:
    """How what an endpoint returns is written."""

    adapter: TypeAdapter[Any] | None
    status: int
    without_none: bool

    @classmethod
    def of(cls, route: CheckedRoute) -> "_Reply":
        adapter = TypeAdapter(route.response_model) if route.response_model else None
        return cls(adapter, route.status_code or 200, route.response_model_exclude_none)

    def written(self, returned: Any, response: Response) -> Response:  # noqa: ANN401  a model, or a reply as it is
        """The reply; ``response`` is what the endpoint was given to say more of it."""
        if isinstance(returned, Response):
            return returned
        assert self.adapter is not None  # noqa: S101  what has no model returns a Response
        content = self.adapter.dump_json(returned, by_alias=True, exclude_none=self.without_none)
        reply = Response(content, response.status_code or self.status, media_type=JSON)
        reply.headers.raw.extend(response.headers.raw)
        return reply


async def _answered(route: CheckedRoute, head: _Head, body: _Body | None, reply: _Reply, request: Request) -> Response:
    check_served(request, route.path_format)
    response = Response()
    del response.headers["content-length"]
    response.status_code = 0  # until the endpoint sets one
    values = await head.values(request, response)
    if body is not None:
        values[body.name] = await body.read(request)
    return reply.written(await route.endpoint(**values), response)


async def _solved(params: Dependant, request: Request, response: Response) -> Values:
    stack = request.scope["fastapi_inner_astack"]
    solved = await solve_dependencies(
        request=request, dependant=params, response=response, async_exit_stack=stack, embed_body_fields=False
    )
    if solved.errors:
        raise RequestValidationError(solved.errors)
    return solved.values
