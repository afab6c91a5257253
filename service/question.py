"""A question, from what was asked to what was found for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from indexes.base import Hit, SearchParams, Vectors
from indexes.collection import Collection
from indexes.searched import Searched
from service.budget import Deadline
from service.generation.base import Turn
from service.plan import Plan
from service.preprocessing import Prepared
from service.telemetry.timings import Timings

OnFailure = Literal["degrade", "fail"]


@dataclass(frozen=True, slots=True)
class Question:
    """A validated question.

    Attributes:
        text: as it was asked last.
        turns: of the conversation before it, oldest first.
        rewrite: make it stand alone before the search; None takes the configured default.
        generate: an answer is wanted, and not the chunks alone.
        llm: name of a generator; None takes the collection's, else the configured default.
        max_tokens: longest answer; None takes the configured default.
        caller: whose share of the device it counts against.
        realm: nothing that is remembered of it is told to another.
    """

    text: str
    collection: str
    params: SearchParams
    deadline: Deadline
    turns: Sequence[Turn] = ()
    rewrite: bool | None = None
    generate: bool = False
    llm: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    on_failure: OnFailure = "degrade"
    caller: str = ""
    realm: str = ""
    request_id: str = ""
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query as the embedder read it.

    Attributes:
        prompt: that the embedder puts before it.
        tokens: of prompt and text, special ones counted.
        limit: tokens that the embedder reads; what is behind them it did not.
    """

    prepared: Prepared
    prompt: str
    tokens: int
    limit: int

    @property
    def is_truncated(self) -> bool:
        """Its end was not read."""
        return self.tokens > self.limit


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the collection knows about a question, and what is to be made of it.

    Attributes:
        query: that was searched for: the question, or the one it was rewritten to.
        vector: ``(dimension,)``, of its text.
        fetched: hits that were asked of the index, to choose from.
    """

    plan: Plan
    collection: Collection
    searched: Searched
    query: ReadQuery
    vector: Vectors
    fetched: int

    @property
    def text(self) -> str:
        """What was searched for, as the embedder was given it."""
        return self.query.prepared.text

    @property
    def hits(self) -> Sequence[Hit]:
        """Best first."""
        return self.searched.hits

    @property
    def index_version(self) -> int:
        """Of the collection as it was searched."""
        return self.searched.version

    @property
    def degraded(self) -> list[str]:
        """Rungs that the retrieval lost."""
        return [rung for rung in self.plan.lost if rung == "rewrite"]
