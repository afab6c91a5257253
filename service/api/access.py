"""What a route needs of its caller: every route declares it, and a test holds them to that."""

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from service.access.scope import Scope
from service.api.caller import rights_of


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency that refuses whoever has none of ``scopes``; and who may not use the path's collection.

    Attributes:
        is_whole: what the route tells or does is not of single collections.
    """

    scopes: tuple[Scope, ...]
    is_whole: bool = False

    async def __call__(self, request: Request) -> None:
        """Check a request.

        Raises:
            ForbiddenError: naming what the key lacks.
        """
        rights = rights_of(request)
        rights.require(*self.scopes)
        if self.is_whole:
            rights.require_whole()
        if "collection" in request.path_params:  # read by the route after this, see ``Rights.collection``
            request.path_params["collection"] = permitted(request, request.path_params["collection"])


@dataclass(frozen=True, slots=True)
class Nothing:
    """A dependency that lets everybody in, keys or not: the route says nothing of what is stored."""

    async def __call__(self) -> None:
        """Let pass."""


def needs(*scopes: Scope, is_whole: bool = False) -> Any:  # noqa: ANN401  as Depends itself
    """One of these scopes; for a router or a route."""
    return Depends(Needs(scopes, is_whole))


NOTHING = Depends(Nothing())


def permitted(request: Request, name: str) -> str:
    """The name under which the caller may use a collection that it asks for; see ``Rights.collection``.

    Raises:
        ForbiddenError: it may not, whether or not there is one.
    """
    request.state.collection = name
    return rights_of(request).collection(name, request.app.state.services.library.aliases())
