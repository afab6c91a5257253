"""Collections: create, look at, list, delete."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, Depends, Response

from indexes.errors import CollectionNotFoundError
from service.api.media_type import require_json
from service.api.schemas import (
    ChunkingReply,
    CollectionBody,
    CollectionList,
    CollectionReply,
    DeletedCollection,
)
from service.api.services import Services, ServicesOf
from service.library import CollectionOptions

router = APIRouter(prefix="/v1/collections", tags=["collections"])


@router.get("")
async def list_collections(services: ServicesOf) -> CollectionList:
    """Every collection, also those whose vectors another embedder made."""
    data: list[CollectionReply] = []
    for name in services.library.names():
        with suppress(CollectionNotFoundError):  # dropped meanwhile
            data.append(await _reply(name, services))
    return CollectionList(data=data)


@router.put("/{collection}", dependencies=[Depends(require_json)], responses={201: {"model": CollectionReply}})
async def put_collection(
    collection: str, response: Response, services: ServicesOf, body: CollectionBody | None = None
) -> CollectionReply:
    """Create a collection, or confirm that it is as asked: another identity is a 409."""
    asked = body or CollectionBody()
    options = CollectionOptions(asked.embedding_model, asked.chunking.size, asked.chunking.overlap)
    _, created = await asyncio.to_thread(services.library.ensure, collection, options)
    response.status_code = 201 if created else 200
    return await _reply(collection, services)


@router.get("/{collection}")
async def get_collection(collection: str, services: ServicesOf) -> CollectionReply:
    """Identity and extent of a collection."""
    return await _reply(collection, services)


@router.delete("/{collection}")
async def delete_collection(collection: str, services: ServicesOf) -> DeletedCollection:
    """Delete a collection and every file of it."""
    await asyncio.to_thread(services.library.drop, collection)
    return DeletedCollection(deleted=collection)


async def _reply(name: str, services: Services) -> CollectionReply:
    collection = services.library.find(name)
    state = await asyncio.to_thread(collection.describe)
    spec = collection.spec
    return CollectionReply(
        name=name,
        embedding_model=spec.embedding_model,
        dimension=spec.dimension,
        metric=spec.metric,
        chunking=ChunkingReply(size=spec.chunk_size, overlap=spec.chunk_overlap),
        documents=state.documents,
        chunks=state.chunks,
        index_version=state.index_version,
    )
