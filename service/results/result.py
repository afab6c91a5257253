"""Result: what a retrieval found, without any text: rows, and how well each of them fits."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from indexes.base import Hit, Vectors
from indexes.store_snapshot import StoredChunk
from service.question import Retrieval

_Number = Annotated[float, Field(allow_inf_nan=False)]
_VECTOR = np.dtype("<f4")


class RankedRow(BaseModel):
    """A hit, by the row of its chunk."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    row: Annotated[int, Field(ge=0)]
    score: _Number
    scores: dict[Literal["vector", "lexical", "boost", "rerank"], _Number]
    per_cosine: _Number

    def hit(self, stored: StoredChunk) -> Hit:
        """With the text that the store has."""
        scores = {str(name): score for name, score in self.scores.items()}
        return Hit(stored.chunk, stored.title, stored.url, self.score, scores, self.per_cosine, self.row)


class Result(BaseModel):
    """As it is remembered.

    Attributes:
        ranked: best first.
        nearest: highest cosine of all that was found, of which these may be some.
        vector: of the query, float32 of little end, in base64.
        tokens: that the embedder read of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    form: Literal[1] = 1
    ranked: list[RankedRow]
    nearest: _Number
    fetched: Annotated[int, Field(ge=0)]
    vector: str
    tokens: Annotated[int, Field(ge=0)]

    @classmethod
    def of(cls, retrieval: Retrieval, nearest: float) -> Self:
        """What there is to remember of it."""
        ranked = [
            RankedRow.model_validate(
                {"row": hit.row, "score": hit.score, "scores": dict(hit.scores), "per_cosine": hit.score_per_cosine}
            )
            for hit in retrieval.hits
        ]
        vector = base64.b64encode(retrieval.vector.astype(_VECTOR).tobytes()).decode()
        read = retrieval.query.tokens
        return cls(ranked=ranked, nearest=nearest, fetched=retrieval.fetched, vector=vector, tokens=read)

    @classmethod
    def read(cls, data: bytes, top_k: int, dimension: int) -> "Result | None":
        """What was remembered; None where it is no result of such a search, whoever wrote it."""
        try:
            result = cls.model_validate_json(data)
            vector = result.query_vector()
        except (ValidationError, binascii.Error, ValueError):
            return None
        is_one = vector.shape == (dimension,) and bool(np.isfinite(vector).all())
        rows = result.rows
        return result if is_one and len(rows) <= top_k and len(set(rows)) == len(rows) else None

    @property
    def rows(self) -> list[int]:
        """Of the chunks, best first."""
        return [each.row for each in self.ranked]

    def query_vector(self) -> Vectors:
        """``(dimension,)`` float32.

        Raises:
            ValueError: it is no vector.
        """
        return np.frombuffer(base64.b64decode(self.vector, validate=True), _VECTOR).astype(np.float32)

    def hits(self, stored: Mapping[int, StoredChunk]) -> list[Hit]:
        """Best first, with the texts that the store has of every row."""
        return [each.hit(stored[each.row]) for each in self.ranked]

    def among(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """The hits, and behind them one that stands for the nearest of all that was found."""
        return [*hits, *(replace(hit, scores={**hit.scores, "vector": self.nearest}) for hit in hits[:1])]
