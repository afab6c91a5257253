"""POST /v1/embeddings, in OpenAI's shape."""

import base64
from collections.abc import Sequence

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from models.base import EmbedderInfo, TextKind, Vectors
from service.api.access import needs
from service.api.caller import asker_of, lane_of
from service.api.context import timings_of
from service.api.description.failing import fails_with
from service.api.hang_up import unless_hung_up
from service.api.media_type import JSON
from service.api.route import ManyInputsRoute
from service.api.schemas.embeddings import EmbeddingsBody, EmbeddingsReply
from service.api.screening import screened
from service.api.services import Services, ServicesOf
from service.api.text import require_unicode
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.errors import (
    ContentBlockedError,
    DeadlineExceededError,
    EmbedderUnavailableError,
    InvalidRequestError,
    ModelNotServedError,
    OverloadedError,
    TooManyInputsError,
)
from service.scheduling.job import Lane
from service.telemetry.traces import embedding_span

router = APIRouter(route_class=ManyInputsRoute, prefix="/v1", tags=["models"], dependencies=[needs("query", "ingest")])

# Some clients say by the model's name what a text is for.
_SUFFIXES = {"-query": TextKind.QUERY, "-passage": TextKind.DOCUMENT}
_KINDS = {"query": TextKind.QUERY, "document": TextKind.DOCUMENT, "passage": TextKind.DOCUMENT}


@router.post(
    "/embeddings",
    responses={200: {"model": EmbeddingsReply}},
    openapi_extra=fails_with(
        InvalidRequestError,
        ContentBlockedError,
        ModelNotServedError,
        TooManyInputsError,
        OverloadedError,
        EmbedderUnavailableError,
        DeadlineExceededError,
    ),
)
async def embeddings(body: EmbeddingsBody, request: Request, services: ServicesOf) -> Response:
    """Vectors of texts, and the tokens they took."""
    embedder, kind = _model(body, services)
    texts = _texts(body.input, services.settings.limits.embedding_inputs)
    if kind is TextKind.QUERY:
        texts = await screened(texts, "input", request, services)
    dimensions = _dimensions(body.dimensions, embedder.info)
    lane = _lane(texts, kind)
    asker = asker_of(request, services.settings.budgets.total_ms if lane is Lane.QUERY else None)
    work = _embedded(embedder, texts, kind, lane, asker)
    embedded = await unless_hung_up(request, work)
    timings_of(request).counts.update(texts=len(texts), tokens=embedded.tokens)
    timings_of(request).trace_stage("embed", embedded.forward_s, embedding_span(embedder.info.name, embedded.tokens))
    reply = {
        "object": "list",
        "data": _data(_cut(embedded.vectors, dimensions), body.encoding_format),
        "model": body.model or embedder.info.name,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
    return Response(orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


async def _embedded(
    embedder: EmbeddingBatcher, texts: Sequence[str], kind: TextKind | None, lane: Lane, asker: Asker
) -> Embedded:
    """A text that says it is a query may be answered from the cache of queries."""
    async with asker.enforced("embed"):
        if kind is TextKind.QUERY and len(texts) == 1 and lane is Lane.QUERY:
            return await embedder.embed_query(texts[0], asker)
        return await embedder.embed(texts, kind or TextKind.DOCUMENT, lane, asker)


def _model(body: EmbeddingsBody, services: Services) -> tuple[EmbeddingBatcher, TextKind | None]:
    """The embedder, and the kind of its texts where the request says it."""
    kind = _KINDS[body.input_type] if body.input_type else None
    if body.model is None:
        return services.embedders.default, kind
    try:
        return services.embedders.named(body.model), kind
    except ModelNotServedError:
        for suffix, suffixed in _SUFFIXES.items():
            if body.model.endswith(suffix):
                return services.embedders.named(body.model.removesuffix(suffix)), kind or suffixed
        raise


def _texts(given: str | list[object], limit: int) -> list[str]:
    items = [given] if isinstance(given, str) else given
    if items and isinstance(items[0], int | list):
        _text(items[0], 0)  # a text of many token ids is not many texts
    if len(items) > limit:
        raise TooManyInputsError(f"input has {len(items)} texts; the limit is {limit}")
    if not items:
        raise InvalidRequestError("input is empty: there is nothing to embed", param="input")
    return [_text(item, i) for i, item in enumerate(items)]


def _text(item: object, i: int) -> str:
    if isinstance(item, int | list):
        raise InvalidRequestError(
            f"input[{i}] is made of token ids, which mean something to one tokenizer only: send text "
            "(LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False)",
            param="input",
        )
    if not isinstance(item, str):
        raise InvalidRequestError(f"input[{i}] is not a string", param="input")
    if not item:
        raise InvalidRequestError(f"input[{i}] is an empty string", param="input")
    return require_unicode(item, f"input[{i}]")


def _lane(texts: Sequence[str], kind: TextKind | None) -> Lane:
    return Lane.BULK if kind is TextKind.DOCUMENT else lane_of(sum(map(len, texts)))


def _dimensions(asked: int | None, info: EmbedderInfo) -> int:
    """Length of the vectors in the reply: any up to the model's, unless it says at which lengths it may be cut."""
    allowed = (*info.matryoshka, info.dimension)
    if asked is None:
        return info.dimension
    if asked > info.dimension:
        raise InvalidRequestError(f"dimensions is {asked}; {info.name!r} has {info.dimension}", param="dimensions")
    if info.matryoshka and asked not in allowed:
        lengths = ", ".join(map(str, allowed))
        raise InvalidRequestError(f"dimensions is {asked}; {info.name!r} can be cut to {lengths}", param="dimensions")
    return asked


def _cut(vectors: Vectors, dimensions: int) -> Vectors:
    """The first components, made unit vectors again."""
    if dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions].copy()  # a cached vector must not be written to
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    np.divide(cut, norms, out=cut, where=norms > 0)
    return cut


def _data(vectors: Vectors, encoding: str | None) -> list[dict[str, object]]:
    """An object a vector, none a number: base64 of its little-endian float32, or the row for orjson to write."""
    rows: list[object] = list(vectors)
    if encoding == "base64":
        rows = [base64.b64encode(row).decode("ascii") for row in vectors.astype("<f4", copy=False)]
    return [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
