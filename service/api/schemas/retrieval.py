"""What to look for, how much of it, and how: what every question and every search may say."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from indexes.errors import InvalidFilterError
from indexes.filters import parse_filter
from service.api.schemas.base import FILTERS, WHOLE, Finite, StrictBody, described, examples
from service.rerank_settings import MAX_CANDIDATES

MAX_TOP_K = 1000
# Each is a search of its own.
MAX_BOOSTS = 8


def _filter(raw: dict[str, Any]) -> dict[str, Any]:
    try:
        parse_filter(raw)
    except InvalidFilterError as error:
        raise ValueError(str(error)) from None
    return raw


class BoostBody(StrictBody):
    """Documents that are to come earlier."""

    filter: Annotated[dict[str, Any], AfterValidator(_filter)] = Field(
        description=FILTERS, json_schema_extra=described("Filter")
    )
    weight: Finite = Field(gt=0, le=1, description="Cosine that their chunks are given in the order of the hits.")


class HybridBody(StrictBody):
    """Whether words are looked for beside the vector, and what they count."""

    # A weight is that of two.
    model_config = examples(
        {"enabled": True, "weight": 0.65},
        {"enabled": False},
        **{
            "not": {
                "properties": {"enabled": {"const": False}, "weight": {"type": "number"}},
                "required": ["enabled", "weight"],
            }
        },
    )

    enabled: bool = Field(description="Look for the query's words too, and make one list of both; see `lexical`.")
    weight: Finite | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the vectors in the order of the hits, the rest being the words'; null takes the server's "
        "default.",
    )

    @model_validator(mode="after")
    def _weighs_two(self) -> Self:
        if not self.enabled and self.weight is not None:
            raise ValueError("weight is the share of the vectors beside words, and enabled is false: leave weight out")
        return self


class RerankingBody(StrictBody):
    """Whether a cross-encoder reorders what is found, and how much of it."""

    model_config = examples(
        {"enabled": True, "candidates": 30},
        {"enabled": False},
        **{
            "not": {
                "properties": {"enabled": {"const": False}, "candidates": {"type": "integer"}},
                "required": ["enabled", "candidates"],
            }
        },
    )

    enabled: bool = Field(description="Put the best hits into the order of the cross-encoder; see `rerank`.")
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES), WHOLE] | None = Field(
        None, description="Hits to reorder at most, as time allows; null takes the server's default."
    )

    @model_validator(mode="after")
    def _reorders_some(self) -> Self:
        if not self.enabled and self.candidates is not None:
            raise ValueError("candidates are the hits to reorder, and enabled is false: leave candidates out")
        return self


class RetrievalOptions(StrictBody):
    """How much to look for, and how."""

    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K), WHOLE] = Field(10, description="Chunks wanted.")
    score_threshold: Finite | None = Field(None, ge=-1, le=1, description="Lowest cosine of a chunk.")
    filters: dict[str, Any] | None = Field(None, description=FILTERS, json_schema_extra=described("Filter"))
    boost: list[BoostBody] = Field(
        [], max_length=MAX_BOOSTS, description="Of those whose filter a document passes, the greatest weight counts."
    )
    hybrid: HybridBody | None = Field(
        None, description="Words beside the vector; null takes the server's default, which is to look for them."
    )
    rerank: RerankingBody | None = Field(
        None,
        description="A cross-encoder's order of the best hits; null takes the server's default, which is to reorder "
        "them where it has one.",
    )
    deadline_ms: Annotated[int, Field(ge=1, le=600_000), WHOLE] | None = Field(
        None, description="Time the request may take."
    )
    explain: bool = Field(False, description="Also say how the index was searched, and which candidates are no hits.")
    on_failure: Literal["degrade", "fail"] = Field(
        "degrade", description="What a lost or late stage brings: a reply without it, or an error."
    )


class RetrievalBody(RetrievalOptions):
    """Where to look, and for how much."""

    collection: str = Field("default", description="Name of the collection.")
