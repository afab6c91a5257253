"""Settings of a Milvus cluster."""

from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, Field, SecretStr

from indexes.milvus_index import IndexType
from service.settings_group import Group


def _parsable(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.userinfo:  # it would stand in messages and in what shows the settings
        raise ValueError("the URL has a user or a password: index.milvus.token takes them, as user:password")
    if not parsed.host:
        raise ValueError(f"{url!r} has no host")
    return url


class MilvusSettings(Group):
    """Where the vectors of new collections are searched, if not here.

    Attributes:
        url: of Milvus, e.g. ``http://milvus:19530``; None keeps vectors in this process. Needs the extra
            ``milvus``.
        token: ``user:password``, or a key.
        database: in Milvus; empty takes its default.
        catalog: under which a writer publishes its collections to replicas; two writers on one Milvus have two.
        type: of the index that Milvus builds.
        nlist: inverted lists, of the types that have them.
        nprobe: lists visited where a search does not say.
        refine: candidates for each hit wanted where a search does not say; they are rescored exactly.
        timeout_ms: of one call.
        consistency: of searches; with less than ``Strong`` a replica may find what was just deleted.
    """

    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_parsable)] | None = None
    token: SecretStr = SecretStr("")
    database: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,254})?$")
    catalog: str = Field("default", pattern=r"^[A-Za-z0-9_]{1,64}$")
    type: IndexType = "HNSW"
    nlist: int = Field(1024, ge=1, le=65_536)
    nprobe: int = Field(64, ge=1, le=65_536)
    refine: int = Field(2, ge=1, le=100)
    timeout_ms: int = Field(10_000, ge=1, le=600_000)
    consistency: Literal["Strong", "Session", "Bounded"] = "Strong"
