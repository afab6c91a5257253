"""How a search was made, for whoever asks with ``explain``."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from service.question import Retrieval


class DroppedReply(BaseModel):
    """A candidate that might have been a hit."""

    chunk_id: str
    score: float = Field(description="By the collection's metric, computed exactly.")
    reason: str = Field(
        description="threshold: its cosine is below score_threshold; outranked; repeated: it would be a hit, but for a "
        "better chunk of the same document."
    )


class PlanReply(BaseModel):
    """How the sealed rows were searched."""

    way: Literal["lists", "scan"] = Field(description="Candidates from the nearest lists, or every visible row.")
    nprobe: int = Field(description="Lists that are visited.")
    candidates: int = Field(description="Rows taken from the lists and scored exactly.")
    selectivity: float = Field(description="Share of the rows that was expected to be visible and to pass the filters.")


class Explanation(BaseModel):
    """How a search was made."""

    index_version: int
    sealed_rows: int = Field(description="Rows that IVF-PQ covers.")
    tail_rows: int = Field(description="Rows that are searched exactly.")
    index_calls: int = Field(description="Searches of an index that it took: of the sealed rows, and of the tail.")
    fetched: int = Field(description="Hits that the index was asked for, from which the reply's were chosen.")
    refine: float | None = Field(description="Candidates for each of them; None where nothing is sealed.")
    plan: PlanReply | None = Field(description="None where nothing is sealed.")
    dropped: list[DroppedReply] = Field(description="The best candidates that are no hits and might have been.")
    deleted: int = Field(description="Candidates that were deleted.")
    filtered: int = Field(description="Candidates whose document fails the filters, which are never named.")

    @classmethod
    def of(cls, retrieval: Retrieval) -> Self:
        """The wire form."""
        searched, plan = retrieval.searched, retrieval.searched.plan
        return cls(
            index_version=searched.version,
            sealed_rows=searched.sealed_rows,
            tail_rows=searched.tail_rows,
            index_calls=bool(searched.sealed_rows) + bool(searched.tail_rows),
            fetched=retrieval.fetched,
            refine=plan and plan.candidates / retrieval.fetched,
            plan=plan and PlanReply.model_validate(plan, from_attributes=True),
            dropped=[
                DroppedReply(chunk_id=dropped.chunk, score=dropped.score, reason=dropped.reason)
                for dropped in searched.dropped
            ],
            deleted=searched.deleted,
            filtered=searched.filtered,
        )
