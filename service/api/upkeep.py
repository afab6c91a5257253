"""What an operator asks of one collection's index: rebuild, calibrate, verify, purge."""

from fastapi import APIRouter

from indexes.errors import (
    CollectionConflictError,
    ErasureError,
    InsufficientMemoryError,
    InvalidFilterError,
    NothingSealedError,
)
from indexes.filters import parse_filter
from service.api.access import needs
from service.api.collections import reply_of
from service.api.description.failing import READING, fails_with
from service.api.route import NativeRoute
from service.api.schemas.collections import CollectionReply
from service.api.schemas.index import CalibrateReply, NothingBody, PurgeBody, PurgeReply, VerifyReply
from service.api.services import ServicesOf

router = APIRouter(route_class=NativeRoute, prefix="/v1/collections", tags=["upkeep"], dependencies=[needs("admin")])


@router.post(
    "/{collection}:rebuild",
    openapi_extra=fails_with(*READING, CollectionConflictError, InsufficientMemoryError),
)
async def rebuild(collection: str, services: ServicesOf, body: NothingBody | None = None) -> CollectionReply:
    """Build the index anew from the store.

    Replies when it serves. Searches and writes go on.
    """
    await services.writing.operator.rebuild(collection)
    return await reply_of(collection, services)


@router.post(
    "/{collection}:calibrate",
    openapi_extra=fails_with(*READING, CollectionConflictError, NothingSealedError),
)
async def calibrate(collection: str, services: ServicesOf, body: NothingBody | None = None) -> CalibrateReply:
    """Measure the recall of the index again.

    From then on the cheapest setting that reaches the target is used. A 409 while nothing is sealed.
    """
    return CalibrateReply.of(await services.writing.operator.calibrate(collection))


@router.post(
    "/{collection}:verify",
    openapi_extra=fails_with(*READING, CollectionConflictError),
)
async def verify(collection: str, services: ServicesOf, body: NothingBody | None = None) -> VerifyReply:
    """Read every file, and compare every vector in memory with the stored one.

    Searches and writes go on.
    """
    return VerifyReply.of(await services.writing.operator.verify(collection))


@router.post(
    "/{collection}:purge",
    openapi_extra=fails_with(*READING, CollectionConflictError, InvalidFilterError, ErasureError),
)
async def purge(collection: str, services: ServicesOf, body: PurgeBody | None = None) -> PurgeReply:
    """Delete documents so that no file holds them any more.

    What was deleted before is removed too; then every file is searched for it.
    """
    asked = body or PurgeBody()
    filter_ = None if asked.filters is None else parse_filter(asked.filters)
    return PurgeReply.of(await services.writing.operator.purge(collection, asked.ids, filter_))
