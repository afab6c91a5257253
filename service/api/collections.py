"""Collections: create, look at, list, delete, re-embed."""

import asyncio
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Request, Response

from indexes.errors import (
    AliasedError,
    CollectionConflictError,
    CollectionNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)
from indexes.filters import Filter
from indexes.named import Named
from indexes.spec import CollectionSpec
from indexes.state import CollectionState
from service.access.rights import ALL, Rights
from service.api.access import needs
from service.api.caller import rights_of
from service.api.description.failing import READING, fails_with
from service.api.route import NativeRoute
from service.api.schemas.collections import (
    ChunkingReply,
    CollectionBody,
    CollectionList,
    CollectionReply,
    DeletedCollection,
    ReembedBody,
    ReembeddingReply,
    ReembeddingTarget,
)
from service.api.schemas.index import IndexReply
from service.api.services import Services, ServicesOf
from service.errors import ForbiddenError, InvalidRequestError
from service.generators import checked_name
from service.library import CollectionOptions
from service.preferred import Preferred
from service.reembedding import ReembeddingState

router = APIRouter(route_class=NativeRoute, prefix="/v1/collections", tags=["collections"])

_LOOKING = needs("query", "ingest")


@router.get("", dependencies=[_LOOKING], openapi_extra=fails_with())
async def list_collections(request: Request, services: ServicesOf) -> CollectionList:
    """Every collection that the key may use, also those whose vectors another embedder made."""
    data: list[CollectionReply] = []
    unavailable: dict[str, str] = {}
    rights, aliases = rights_of(request), services.library.aliases()
    known = [rights.known_as(name, aliases) for name in services.library.names()]
    for name in filter(None, known):
        try:
            data.append(await reply_of(name, services, rights))
        except CollectionNotFoundError:  # dropped meanwhile
            continue
        except StoreUnavailableError as error:  # the others can be listed all the same
            unavailable[name] = str(error)
    return CollectionList(data=data, unavailable=unavailable)


@router.put(
    "/{collection}",
    dependencies=[needs("ingest")],
    responses={201: {"model": CollectionReply}},
    openapi_extra=fails_with(InvalidNameError, InvalidRequestError, CollectionConflictError, StoreUnavailableError),
)
async def put_collection(
    collection: str, request: Request, response: Response, services: ServicesOf, body: CollectionBody | None = None
) -> CollectionReply:
    """Create a collection, or confirm that it is as asked.

    Another identity than it has is a 409. A key with a filter cannot say which `llm` answers, nor from which
    `min_confidence` on: others ask it too.
    """
    asked, rights = body or CollectionBody(), rights_of(request)
    for preference in ("llm", "min_confidence") if rights.filter is not None else ():
        if getattr(asked, preference) is not None:
            said = f"{preference} is of the whole collection, and this key has a filter: leave {preference} out"
            raise ForbiddenError(said)
    if asked.llm:
        checked_name(asked.llm, services.generators)
    _, created = await asyncio.to_thread(services.writing.library.ensure, collection, _options(asked))
    if asked.llm is not None:
        await asyncio.to_thread(services.writing.library.prefer_llm, collection, asked.llm or None)
    if asked.min_confidence is not None:
        lowest = None if asked.min_confidence == "" else asked.min_confidence
        await asyncio.to_thread(services.writing.library.prefer_min_confidence, collection, lowest)
    response.status_code = 201 if created else 200
    return await reply_of(collection, services, rights)


@router.get("/{collection}", dependencies=[_LOOKING], openapi_extra=fails_with(*READING))
async def get_collection(collection: str, request: Request, services: ServicesOf) -> CollectionReply:
    """Identity and extent of a collection."""
    await services.library.seek(collection)
    return await reply_of(collection, services, rights_of(request))


@router.delete(
    "/{collection}", dependencies=[needs("admin")], openapi_extra=fails_with(*READING, CollectionConflictError)
)
async def delete_collection(collection: str, request: Request, services: ServicesOf) -> DeletedCollection:
    """Delete a collection and every file of it. Its jobs fail."""
    try:
        await asyncio.to_thread(services.writing.library.drop, collection)
    except AliasedError as error:
        rights, aliases = rights_of(request), services.library.aliases()
        told = [name for name in error.aliases if rights.covers(name, aliases)]
        raise AliasedError(rights.known_as(error.name, aliases) or collection, told) from None
    await services.writing.job_runner.drop(collection)
    return DeletedCollection(deleted=collection)


@router.post(
    "/{collection}:reembed",
    dependencies=[needs("admin")],
    responses={202: {"model": CollectionReply}},
    openapi_extra=fails_with(*READING, InvalidRequestError, CollectionConflictError),
)
async def reembed(
    collection: str, response: Response, services: ServicesOf, body: ReembedBody | None = None
) -> CollectionReply:
    """Give a live collection another embedding model or chunking, or the one back that it had.

    A 202 while it goes on: searches see the old form until the new one is whole.
    """
    asked = body or ReembedBody()
    options = _options(asked)
    if asked.action != "start" and options != CollectionOptions():
        raise InvalidRequestError(f"action {asked.action!r} takes no embedding_model and no chunking", param="action")
    match asked.action:
        case "start":
            await services.writing.reembedder.start(collection, options)
        case "rollback":
            await services.writing.reembedder.roll_back(collection)
        case "finish":
            await services.writing.reembedder.finish(collection)
    reply = await reply_of(collection, services)
    goes_on = reply.reembedding is not None and reply.reembedding.state in {"building", "rolling_back"}
    response.status_code = 202 if asked.action == "start" or goes_on else 200
    return reply


def _options(body: CollectionBody | ReembedBody) -> CollectionOptions:
    options = CollectionOptions(body.embedding_model, body.chunking.size, body.chunking.overlap)
    if isinstance(body, CollectionBody):
        return replace(options, metric=body.metric, target_recall=body.target_recall, language=body.language)
    return options


async def reply_of(name: str, services: Services, rights: Rights = ALL) -> CollectionReply:
    """A collection as it is now, by its own name when it was asked for by an alias, unless only that is the caller's.

    Whoever has a filter hears how many documents exist for it, and nothing else that tells of the others.
    """
    route, state = await asyncio.to_thread(services.library.read, name, lambda route: (route, route.primary.describe()))
    preferred = services.library.preferred(route.name)
    reply = described(route, state, services.reembedding_of(route), preferred)
    if not rights.covers(route.name, {}):
        reply = reply.model_copy(update={"name": name})
    if rights.filter is None:
        return reply
    count = partial(services.library.read, name, partial(_count, filter=rights.filter))
    documents = await asyncio.get_running_loop().run_in_executor(services.readers, count)
    return reply.model_copy(update={"documents": documents, "chunks": None, "index": None, "reembedding": None})


def _count(named: Named, filter: Filter) -> int | None:
    return named.primary.count_matching(filter)


def described(
    route: Named, state: CollectionState, reembedding: ReembeddingState | None, preferred: Preferred
) -> CollectionReply:
    """The wire form of a collection."""
    spec = route.primary.spec
    return CollectionReply(
        name=route.name,
        embedding_model=spec.embedding_model,
        dimension=spec.dimension,
        metric=spec.metric,
        target_recall=spec.target_recall,
        language=spec.language,
        chunking=_chunking(spec),
        llm=preferred.llm,
        min_confidence=preferred.min_confidence,
        documents=state.documents,
        chunks=state.chunks,
        index_version=state.index_version,
        index=IndexReply.of(state),
        reembedding=_reembedding(reembedding),
    )


def _reembedding(state: ReembeddingState | None) -> ReembeddingReply | None:
    if state is None:
        return None
    spec = state.target
    target = spec and ReembeddingTarget(
        embedding_model=spec.embedding_model, dimension=spec.dimension, chunking=_chunking(spec)
    )
    return ReembeddingReply(state=state.state, target=target, done=state.done, total=state.total, error=state.error)


def _chunking(spec: CollectionSpec) -> ChunkingReply:
    return ChunkingReply(size=spec.chunk_size, overlap=spec.chunk_overlap)
