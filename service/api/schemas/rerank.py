"""Reranking, in Cohere's and Jina's shape."""

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.base import VendorBody


class RerankDocument(BaseModel):
    """A document's text."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str


class RerankBody(VendorBody):
    """A query, and documents to rank by it."""

    model: str | None = Field(None, description="Name of the served reranker.")
    query: str
    documents: list[str | RerankDocument]
    top_n: int | None = Field(None, ge=1, description="Results wanted; all where none is given.")
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

    id: str
    model: str
    results: list[RerankResult]
    usage: RerankUsage
