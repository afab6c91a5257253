"""Aliases: second names of collections."""

import asyncio

from fastapi import APIRouter, Depends, Response

from indexes.errors import (
    AliasNotFoundError,
    CollectionConflictError,
    CollectionNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)
from service.api.description.failing import fails_with
from service.api.media_type import require_json
from service.api.schemas.aliases import AliasBody, AliasList, AliasReply, DeletedAlias
from service.api.services import Services, ServicesOf

router = APIRouter(prefix="/v1/aliases", tags=["aliases"])


@router.get("", openapi_extra=fails_with())
async def list_aliases(services: ServicesOf) -> AliasList:
    """Every alias with its collection."""
    data = [AliasReply(name=name, collection=named) for name, named in services.library.aliases().items()]
    return AliasList(data=data)


@router.put(
    "/{name}",
    dependencies=[Depends(require_json)],
    responses={201: {"model": AliasReply}},
    openapi_extra=fails_with(InvalidNameError, CollectionNotFoundError, CollectionConflictError, StoreUnavailableError),
)
async def put_alias(name: str, body: AliasBody, response: Response, services: ServicesOf) -> AliasReply:
    """Make an alias, or move it to another collection: the next request follows it."""
    is_new = await asyncio.to_thread(services.library.set_alias, name, body.collection)
    response.status_code = 201 if is_new else 200
    return _reply(name, services)


@router.get("/{name}", openapi_extra=fails_with(AliasNotFoundError))
async def get_alias(name: str, services: ServicesOf) -> AliasReply:
    """The collection that an alias names."""
    return _reply(name, services)


@router.delete("/{name}", openapi_extra=fails_with(AliasNotFoundError, StoreUnavailableError))
async def delete_alias(name: str, services: ServicesOf) -> DeletedAlias:
    """Remove an alias; its collection stays."""
    await asyncio.to_thread(services.library.remove_alias, name)
    return DeletedAlias(deleted=name)


def _reply(name: str, services: Services) -> AliasReply:
    collection = services.library.aliases().get(name)
    if collection is None:
        raise AliasNotFoundError(name)
    return AliasReply(name=name, collection=collection)
