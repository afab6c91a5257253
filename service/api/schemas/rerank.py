"""Reranking, in Cohere's and Jina's shape."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from service.api.schemas.base import NOT_BLANK, WHOLE, VendorBody, described, examples


class RerankDocument(BaseModel):
    """A document's text."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str


class RerankBody(VendorBody):
    """A query, and documents to rank by it."""

    model_config = examples(
        {"query": "When is the audit?", "documents": ["The audit is on Friday.", {"text": "Lunch is at noon."}]}
    )

    model: str | None = Field(None, description="Name of the served reranker.")
    query: str = Field(
        json_schema_extra=described(settings={"maxLength": "limits.query_characters"}, pattern=NOT_BLANK)
    )
    # Without end, a list that is wrong all along would hold the interpreter for as long as it is.
    documents: Annotated[list[str | RerankDocument], FailFast()] = Field(
        json_schema_extra=described(settings={"maxItems": "limits.rerank_documents"}, minItems=1)
    )
    top_n: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        None, description="Results wanted; all where none is given."
    )
    return_documents: bool | None = False


class RerankResult(BaseModel):
    """A document's place: ``index`` is its position in the request."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    """Tokens of all pairs of query and document."""

    total_tokens: int


class RerankReply(BaseModel):
    """Documents, best first."""

    model_config = examples(
        {
            "id": "0c6a7e0d3b4f4f0f9a53a7a7c1b6a4de",
            "model": "my-cross-encoder",
            "results": [{"index": 0, "relevance_score": 0.97}, {"index": 1, "relevance_score": 0.02}],
            "usage": {"total_tokens": 28},
        }
    )

    id: str
    model: str
    results: list[RerankResult]
    usage: RerankUsage
