"""The Milvus server that settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.errors import ExtraMissingError
from service.milvus_settings import MilvusSettings

if TYPE_CHECKING:
    from indexes.milvus_client import MilvusServer
    from indexes.milvus_index import MilvusIndex
    from indexes.milvus_reading import MilvusAddress, MilvusReader


def milvus_server(settings: MilvusSettings) -> "MilvusServer | None":
    """Not connected yet; None where none is named.

    Raises:
        ExtraMissingError: one is named, and pymilvus is not installed.
    """
    if settings.url is None:
        return None
    with _extra(settings.url):
        from indexes.milvus_client import MilvusServer  # noqa: PLC0415  an extra
    return MilvusServer(*_described(settings, settings.url))


def milvus_reader(settings: MilvusSettings) -> "MilvusReader":
    """The same for who writes nothing there; settings of a replica name one.

    Raises:
        ExtraMissingError: pymilvus is not installed.
    """
    assert settings.url is not None  # noqa: S101  see check_replica
    with _extra(settings.url):
        from indexes.milvus_reading import MilvusReader  # noqa: PLC0415  an extra
    return MilvusReader(*_described(settings, settings.url))


@contextmanager
def _extra(url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        missing = (error.name or "pymilvus").partition(".")[0]
        raise ExtraMissingError("index.milvus.url", url, missing, "milvus") from error


def _described(settings: MilvusSettings, url: str) -> "tuple[MilvusAddress, MilvusIndex]":
    from indexes.milvus_index import MilvusIndex  # noqa: PLC0415  beside it
    from indexes.milvus_reading import MilvusAddress  # noqa: PLC0415  an extra

    token, timeout_s = settings.token.get_secret_value(), settings.timeout_ms / 1000
    address = MilvusAddress(url, token, settings.database, timeout_s, settings.consistency)
    return address, MilvusIndex(settings.type, settings.nlist, settings.nprobe, settings.refine)
