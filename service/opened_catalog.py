"""The collections of a process: those of its data directory, or those that a writer publishes."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from indexes.catalog import Catalog
from indexes.upkeep import IndexPolicy
from service.catalog_follower import CatalogFollower
from service.catalog_publisher import CatalogPublisher
from service.file_shares import collections_by_files, collections_by_mappings
from service.index_policy import index_policy
from service.milvus_server import milvus_reader, milvus_server
from service.milvus_watch import MilvusWatch
from service.settings import Settings

if TYPE_CHECKING:  # pymilvus is an extra
    from indexes.replica_catalog import ReplicaCatalog


@dataclass(frozen=True, slots=True)
class OwnedCatalog:
    """Of a writer.

    Attributes:
        milvus: None where there is none.
    """

    catalog: Catalog
    policy: IndexPolicy
    milvus: MilvusWatch | None


@dataclass(frozen=True, slots=True)
class FollowedCatalog:
    """Of a replica."""

    catalog: "ReplicaCatalog"
    milvus: CatalogFollower


async def owned_catalog(stack: AsyncExitStack, settings: Settings) -> OwnedCatalog:
    """Under the lock of the data directory; where there is a Milvus, replicas are told of it.

    Raises:
        DataDirectoryError, StoreUnavailableError: see ``Catalog``.
        ExtraMissingError: a Milvus is named, and its client is not installed.
    """
    policy = await run_sync(index_policy, settings.index)
    most = settings.limits.collections or min(collections_by_files(), collections_by_mappings())
    milvus = milvus_server(settings.index.milvus)
    if milvus is not None:
        stack.callback(milvus.close)
    catalog = await run_sync(Catalog, settings.data_dir, policy, most, milvus)
    stack.callback(catalog.close)
    if milvus is None:
        return OwnedCatalog(catalog, policy, None)
    from indexes.catalog_publication import CatalogPublication  # noqa: PLC0415  as above

    publisher = CatalogPublisher(catalog, CatalogPublication(catalog, milvus, settings.index.milvus.catalog))
    return OwnedCatalog(catalog, policy, await stack.enter_async_context(publisher))


async def followed_catalog(stack: AsyncExitStack, settings: Settings) -> FollowedCatalog:
    """Of which nothing may be known yet.

    Raises:
        ExtraMissingError: Milvus' client is not installed.
    """
    reader = milvus_reader(settings.index.milvus)
    from indexes.replica_catalog import ReplicaCatalog  # noqa: PLC0415  as above

    stack.callback(reader.close)
    catalog = ReplicaCatalog(reader, settings.index.milvus.catalog)
    return FollowedCatalog(catalog, await stack.enter_async_context(CatalogFollower(catalog)))
