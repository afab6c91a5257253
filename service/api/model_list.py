"""GET /v1/models, in OpenAI's shape: collections, aliases, embedders and the reranker."""

from fastapi import APIRouter, Request

from service.access.rights import Rights
from service.api.access import needs
from service.api.caller import rights_of
from service.api.description.failing import fails_with
from service.api.route import CheckedRoute
from service.api.schemas.model_list import ModelList, ModelReply, Use
from service.api.services import Services, ServicesOf
from service.errors import ModelNotServedError

router = APIRouter(
    route_class=CheckedRoute, prefix="/v1/models", tags=["models"], dependencies=[needs("query", "ingest")]
)


@router.get("", openapi_extra=fails_with())
async def list_models(request: Request, services: ServicesOf) -> ModelList:
    """What the routes in others' shapes take as `model`, of what the key may use."""
    return ModelList(data=list(_models(services, rights_of(request)).values()))


@router.get("/{model:path}", openapi_extra=fails_with(ModelNotServedError))
async def get_model(model: str, request: Request, services: ServicesOf) -> ModelReply:
    """One of the models; its name may hold slashes."""
    found = _models(services, rights_of(request)).get(model)
    if found is None:
        raise ModelNotServedError(f"model {model!r} is not served here; GET /v1/models lists those that are")
    return found


def _models(services: Services, rights: Rights) -> dict[str, ModelReply]:
    """By id: a collection and an embedder may have one name, and are one model then."""
    aliases = services.library.aliases()
    usable = [name for name in (*services.library.names(), *aliases) if rights.covers(name, aliases)]
    named: list[tuple[str, Use]] = [(name, "chat") for name in usable]
    named += [(info.name, "embeddings") for info in services.embedders.infos()]
    named += [(services.reranker.info.name, "rerank")] if services.reranker else []
    models: dict[str, ModelReply] = {}
    for name, use in named:
        models.setdefault(name, ModelReply(id=name, uses=[])).uses.append(use)
    return models
