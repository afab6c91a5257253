"""Aliases: second names of collections."""

import asyncio

from fastapi import APIRouter, Request, Response

from indexes.errors import (
    AliasNotFoundError,
    CollectionConflictError,
    CollectionNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)
from service.api.access import needs, permitted
from service.api.caller import rights_of
from service.api.description.failing import fails_with
from service.api.route import NativeRoute
from service.api.schemas.aliases import AliasBody, AliasList, AliasReply, DeletedAlias
from service.api.services import Services, ServicesOf

router = APIRouter(route_class=NativeRoute, prefix="/v1/aliases", tags=["aliases"])


@router.get("", dependencies=[needs("query", "ingest")], openapi_extra=fails_with())
async def list_aliases(request: Request, services: ServicesOf) -> AliasList:
    """Every alias that the key may use, with its collection."""
    rights, aliases = rights_of(request), services.library.aliases()
    data = [AliasReply(name=name, collection=named) for name, named in aliases.items() if rights.covers(name, aliases)]
    return AliasList(data=data)


@router.put(
    "/{name}",
    dependencies=[needs("admin")],
    responses={201: {"model": AliasReply}},
    openapi_extra=fails_with(InvalidNameError, CollectionNotFoundError, CollectionConflictError, StoreUnavailableError),
)
async def put_alias(
    name: str, body: AliasBody, request: Request, response: Response, services: ServicesOf
) -> AliasReply:
    """Make an alias, or move it to another collection: the next request follows it.

    A key with a list of collections needs both names on it: the alias may be one that others' keys name.
    """
    rights = rights_of(request)
    for named in (name, body.collection):
        rights.collection(named, {})
    is_new = await asyncio.to_thread(services.writing.library.set_alias, name, body.collection)
    response.status_code = 201 if is_new else 200
    return _reply(name, services)


@router.get("/{name}", dependencies=[needs("query", "ingest")], openapi_extra=fails_with(AliasNotFoundError))
async def get_alias(name: str, request: Request, services: ServicesOf) -> AliasReply:
    """The collection that an alias names."""
    await services.library.seek(name)
    permitted(request, name)
    return _reply(name, services)


@router.delete(
    "/{name}", dependencies=[needs("admin")], openapi_extra=fails_with(AliasNotFoundError, StoreUnavailableError)
)
async def delete_alias(name: str, request: Request, services: ServicesOf) -> DeletedAlias:
    """Remove an alias; its collection stays."""
    rights_of(request).collection(name, {})
    await asyncio.to_thread(services.writing.library.remove_alias, name)
    return DeletedAlias(deleted=name)


def _reply(name: str, services: Services) -> AliasReply:
    collection = services.library.aliases().get(name)
    if collection is None:
        raise AliasNotFoundError(name)
    return AliasReply(name=name, collection=collection)
