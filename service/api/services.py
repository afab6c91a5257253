"""What routes may call: the collaborators that the lifespan built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from models.base import EmbedderInfo
from service.batching import EmbeddingBatcher
from service.errors import UnsupportedMediaTypeError
from service.generation.base import Generator
from service.ingest.ingestor import Ingestor
from service.library import Library
from service.rag import Rag
from service.sealer import Sealer
from service.settings import Settings
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, for the life of the process."""

    settings: Settings
    metrics: Metrics
    embedder: EmbedderInfo
    library: Library
    batcher: EmbeddingBatcher
    generators: Mapping[str, Generator]
    rag: Rag
    ingestor: Ingestor
    sealer: Sealer


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON; a request without a body passes.

    Raises:
        UnsupportedMediaTypeError: naming what it says.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and await request.body():
        raise UnsupportedMediaTypeError(
            f"content type {media_type or '(none)'!r} is not read here; application/json is"
        )


ServicesOf = Annotated[Services, Depends(_services)]
