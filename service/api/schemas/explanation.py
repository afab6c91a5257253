"""How a search was made, for whoever asks with ``explain``."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from indexes.searched import Searched
from service.question import ReadQuery, Retrieval
from service.reordered import Left, Reordered

# What it tells of a collection depends on what a mandatory filter hides in it.
_HIDDEN = "None for a key with a filter of its own."


class DroppedReply(BaseModel):
    """A candidate that might have been a hit."""

    chunk_id: str
    score: float = Field(description="What it would have been ordered by; see `score` of a chunk.")
    reason: str = Field(
        description="threshold: its cosine is below score_threshold; outranked; repeated: it would be a hit, but for a "
        "better chunk of the same document; reranked: it would be one, but for the cross-encoder."
    )


class DuplicateReply(BaseModel):
    """A chunk that no generator was given, as it says nearly the same as a better one."""

    chunk_id: str
    of: str = Field(description="Id of the better one.")


class PlaceReply(BaseModel):
    """Where a chunk of the reply was before it was reordered."""

    chunk_id: str
    before: int = Field(description="Its place in the order of the search, from 1.")


class RerankReport(BaseModel):
    """How the hits were reordered."""

    model: str
    candidates: int = Field(description="Hits that were to be scored.")
    scored: int = Field(description="Hits that were.")
    left: Left | None = Field(
        description="Why these are fewer. deadline, or budget of `budgets.rerank_ms`: too little of it was left; "
        "overloaded: too much waited for the device; late; failed. None where they are not."
    )
    places: list[PlaceReply] = Field(description="Of the chunks of the reply, in its order.")

    @classmethod
    def of(cls, reordered: Reordered, shown: int) -> Self:
        """The wire form, with the first ``shown`` places."""
        places = list(zip(reordered.hits, reordered.places, strict=True))[:shown]
        return cls(
            model=reordered.model,
            candidates=reordered.wanted,
            scored=reordered.scored,
            left=reordered.left,
            places=[PlaceReply(chunk_id=hit.chunk.id, before=place + 1) for hit, place in places],
        )


class PlanReply(BaseModel):
    """How the sealed rows were searched."""

    way: Literal["lists", "scan"] = Field(description="Candidates from the nearest lists, or every visible row.")
    nprobe: int = Field(description="Lists that are visited.")
    candidates: int = Field(description="Rows taken from the lists and scored exactly.")
    selectivity: float = Field(description="Share of the rows that was expected to be visible and to pass the filters.")


class StepReply(BaseModel):
    """A step of preprocessing that changed the query."""

    step: Literal["unicode", "invisible", "whitespace"]
    before: int = Field(description="Unicode code points.")
    after: int
    text: str


class QueryReading(BaseModel):
    """What became of the query before it was searched for."""

    steps: list[StepReply] = Field(description="Those that changed something, in order.")
    text: str = Field(description="After all of them.")
    prompt: str = Field(description="That the embedding model puts before it.")
    tokens: int = Field(description="Of prompt and text, special ones counted.")
    read_tokens: int = Field(description="Of these, those that the model reads.")

    @classmethod
    def of(cls, query: ReadQuery) -> Self:
        """The wire form."""
        return cls(
            steps=[StepReply.model_validate(change, from_attributes=True) for change in query.prepared.changes],
            text=query.prepared.text,
            prompt=query.prompt,
            tokens=query.tokens,
            read_tokens=min(query.tokens, query.limit),
        )


class Explanation(BaseModel):
    """How a search was made."""

    index_version: int
    sealed_rows: int | None = Field(description=f"Rows that IVF-PQ covers. {_HIDDEN}")
    tail_rows: int | None = Field(description=f"Rows that are searched exactly. {_HIDDEN}")
    index_calls: int | None = Field(
        description=f"Searches of an index that it took: of the sealed rows, and of the tail. {_HIDDEN}"
    )
    boost_searches: int = Field(description="One for each boost, beside the plain one that the rest tells of.")
    fetched: int = Field(description="Hits that the index was asked for, from which the reply's were chosen.")
    refine: float | None = Field(description=f"Candidates for each of them; None where nothing is sealed. {_HIDDEN}")
    plan: PlanReply | None = Field(description=f"None where nothing is sealed. {_HIDDEN}")
    dropped: list[DroppedReply] = Field(
        description="The best candidates that are no hits and might have been; for a key with a filter of its own, of "
        "those that were fetched."
    )
    duplicates: list[DuplicateReply] = Field(
        description="Chunks of the reply that an answer would rest on, did they not say nearly the same as better ones."
    )
    deleted: int | None = Field(description=f"Candidates that were deleted. {_HIDDEN}")
    filtered: int | None = Field(
        description=f"Candidates whose document fails the filters, which are never named. {_HIDDEN}"
    )
    rerank: RerankReport | None = Field(description="None where the hits were not to be reordered.")
    query: QueryReading

    @classmethod
    def of(cls, retrieval: Retrieval, boosts: int) -> Self:
        """The wire form of a retrieval that ``boosts`` boosts were asked of."""
        searched, plan = retrieval.searched, retrieval.searched.plan
        return cls(
            query=QueryReading.of(retrieval.query),
            index_version=searched.version,
            sealed_rows=searched.sealed_rows,
            tail_rows=searched.tail_rows,
            index_calls=_index_calls(searched),
            boost_searches=boosts,
            fetched=retrieval.fetched,
            refine=plan and plan.candidates / retrieval.fetched,
            plan=plan and PlanReply.model_validate(plan, from_attributes=True),
            dropped=[
                DroppedReply(chunk_id=dropped.chunk, score=dropped.score, reason=dropped.reason)
                for dropped in searched.dropped
            ],
            duplicates=[
                DuplicateReply(chunk_id=duplicate.chunk, of=duplicate.of) for duplicate in retrieval.chosen.duplicates
            ],
            deleted=searched.deleted,
            filtered=searched.filtered,
            rerank=retrieval.reordered and RerankReport.of(retrieval.reordered, len(retrieval.hits)),
        )


def _index_calls(searched: Searched) -> int | None:
    if searched.sealed_rows is None or searched.tail_rows is None:
        return None
    return bool(searched.sealed_rows) + bool(searched.tail_rows)
