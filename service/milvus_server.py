"""The Milvus server that settings name."""

from typing import TYPE_CHECKING

from service.errors import ExtraMissingError
from service.milvus_settings import MilvusSettings

if TYPE_CHECKING:
    from indexes.milvus_client import MilvusServer


def milvus_server(settings: MilvusSettings) -> "MilvusServer | None":
    """Not connected yet; None where none is named.

    Raises:
        ExtraMissingError: one is named, and pymilvus is not installed.
    """
    if settings.url is None:
        return None
    try:
        from indexes.milvus_client import MilvusAddress, MilvusServer  # noqa: PLC0415  an extra
        from indexes.milvus_index import MilvusIndex  # noqa: PLC0415  beside it
    except ImportError as error:
        missing = (error.name or "pymilvus").partition(".")[0]
        raise ExtraMissingError("index.milvus.url", settings.url, missing, "milvus") from error
    address = MilvusAddress(
        settings.url,
        settings.token.get_secret_value(),
        settings.database,
        settings.timeout_ms / 1000,
        settings.consistency,
    )
    return MilvusServer(address, MilvusIndex(settings.type, settings.nlist, settings.nprobe, settings.refine))
