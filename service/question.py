"""A question, from what was asked to what was found for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from indexes.base import Hit, SearchParams, Vectors
from indexes.collection import QueriedCollection
from indexes.searched import Searched
from service.budget import Deadline
from service.generation.base import Turn
from service.passages import Chosen
from service.plan import Plan
from service.preprocessing import Prepared
from service.reordered import Reordered
from service.telemetry.timings import Timings

OnFailure = Literal["degrade", "fail"]


@dataclass(frozen=True, slots=True)
class Question:
    """A validated question.

    Attributes:
        text: as it was asked last.
        turns: of the conversation before it, oldest first.
        candidates: best hits, at most, that a cross-encoder reorders; 0 reorders none.
        dense_weight: share of the vectors in the order of the hits, 0..1, the rest being that of the words; None
            goes by vectors alone.
        insists_on_words: the request itself said that words are to be looked for; a default is not missed where a
            collection has none.
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
    dense_weight: float | None = None
    insists_on_words: bool = False
    candidates: int = 0
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
        chosen: of the hits, for an answer; nothing where none is wanted.
        reordered: how the hits were reordered; None where they were not to be.
    """

    plan: Plan
    collection: QueriedCollection
    searched: Searched
    query: ReadQuery
    vector: Vectors
    fetched: int
    chosen: Chosen
    reordered: Reordered | None = None

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
        lost = {
            "rerank": self.reordered is not None and self.reordered.is_lost,
            "rewrite": "rewrite" in self.plan.lost,
            "lexical": self.searched.without_lexical is not None,
        }
        return [rung for rung, is_lost in lost.items() if is_lost]
