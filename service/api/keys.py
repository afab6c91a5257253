"""Keys: made, listed and revoked by whoever administers the whole node."""

import asyncio

from fastapi import APIRouter, Request, Response

from service.api.access import needs
from service.api.audit import about_key
from service.api.bodies import Bodies
from service.api.description.failing import fails_with
from service.api.route import NativeRoute
from service.api.schemas.keys import KeyBody, KeyList, KeyReply, MadeKey
from service.api.services import ServicesOf
from service.errors import InvalidRequestError, KeyConflictError, KeyNotFoundError, KeysUnavailableError
from service.unique_members import repeated_member

router = APIRouter(
    route_class=NativeRoute, prefix="/v1/admin/keys", tags=["admin"], dependencies=[needs("admin", is_whole=True)]
)

_SHOWN_CHARACTERS = 100


async def _require_unique_members(request: Request) -> None:
    """Of a scope or filter that is there twice the last would count, whoever wrote the first."""
    bodies: Bodies = request.app.state.bodies
    name = await bodies.read(await request.body(), repeated_member)
    if name is not None:
        raise InvalidRequestError(f"an object of the body has {name[:_SHOWN_CHARACTERS]!r} twice")


@router.post(
    "",
    status_code=201,
    openapi_extra=fails_with(InvalidRequestError, KeyConflictError, KeysUnavailableError),
)
async def create_key(body: KeyBody, request: Request, response: Response, services: ServicesOf) -> MadeKey:
    """Make a key. Its text is in this reply and can never be read again.

    From the first one on every request needs a key, at once; so the first has the scope `admin` and neither collections
    nor a filter.
    """
    await _require_unique_members(request)
    key, text = await asyncio.to_thread(services.keys.create, body.wanted(), leaving_admin=True)
    about_key(request, key.id)
    response.headers["Cache-Control"] = "no-store"
    return MadeKey.shown(key, text)


@router.get("", openapi_extra=fails_with())
async def list_keys(services: ServicesOf) -> KeyList:
    """Every key, the newest last; revoked ones are marked. What opens anything is not kept, and so not told."""
    return KeyList.of(services.keys.listed())


@router.delete("/{key_id}", openapi_extra=fails_with(KeyNotFoundError, KeyConflictError, KeysUnavailableError))
async def revoke_key(key_id: str, request: Request, services: ServicesOf) -> KeyReply:
    """Let a key open nothing any more, from the next request on; doing it again changes nothing.

    The last one of scope `admin` that has the whole node is not revoked here, as nobody could make another.
    """
    key = await asyncio.to_thread(services.keys.revoke, key_id, leaving_admin=True)
    about_key(request, key.id)
    return KeyReply.of(key)
