"""GET /v1/models, in OpenAI's shape: collections, aliases, embedders and the reranker."""

from fastapi import APIRouter

from service.api.description.failing import fails_with
from service.api.schemas.model_list import ModelList, ModelReply, Use
from service.api.services import Services, ServicesOf
from service.errors import ModelNotServedError

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", openapi_extra=fails_with())
async def list_models(services: ServicesOf) -> ModelList:
    """What the routes in others' shapes take as `model`."""
    return ModelList(data=list(_models(services).values()))


@router.get("/{model:path}", openapi_extra=fails_with(ModelNotServedError))
async def get_model(model: str, services: ServicesOf) -> ModelReply:
    """One of the models; its name may hold slashes."""
    found = _models(services).get(model)
    if found is None:
        raise ModelNotServedError(f"model {model!r} is not served here; GET /v1/models lists those that are")
    return found


def _models(services: Services) -> dict[str, ModelReply]:
    """By id: a collection and an embedder may have one name, and are one model then."""
    named: list[tuple[str, Use]] = [(name, "chat") for name in services.library.names()]
    named += [(alias, "chat") for alias in services.library.aliases()]
    named += [(info.name, "embeddings") for info in services.embedders.infos()]
    named += [(services.reranker.info.name, "rerank")] if services.reranker else []
    models: dict[str, ModelReply] = {}
    for name, use in named:
        models.setdefault(name, ModelReply(id=name, uses=[])).uses.append(use)
    return models
