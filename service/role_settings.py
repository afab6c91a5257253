"""What the role of a process asks of its other settings."""

from service.access_settings import AccessSettings
from service.milvus_settings import MilvusSettings


def check_replica(milvus: MilvusSettings, access: AccessSettings) -> None:
    """That a replica needs no data directory.

    Raises:
        ValueError: it would; the message names the setting.
    """
    if milvus.url is None:
        raise ValueError(
            "server.role is 'replica', but index.milvus.url is not set: a replica reads collections from Milvus"
        )
    if access.keys == "published":
        raise ValueError(
            "access.keys is 'published' and server.role is 'replica', which has no keys of its own: 'replicated' takes "
            "those that the writer publishes"
        )
    if access.keys == "own" and access.admin_key is None:
        raise ValueError(
            "access.keys is 'own' and server.role is 'replica', which has no data directory with keys in it: "
            "'replicated' takes those that the writer publishes, or set access.admin_key"
        )
