"""Asked: everything that what a question finds depends on, as one name."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from indexes.base import SearchParams
from indexes.collection import QueriedCollection
from indexes.filters import Filter, to_json
from service.question import Question


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is looked for among those that were asked before.

    Attributes:
        text: as it is embedded, and as its words are looked for.
        version: of the collection as it is now.
        embedder: fingerprint and precision of the model that embeds it.
        reranker: fingerprint of the model that would reorder its hits; None where none would.
        repeat_penalty: see ``retrieval.repeat_penalty``.
    """

    question: Question
    text: str
    collection: QueriedCollection
    version: int
    embedder: tuple[str, str]
    reranker: str | None
    repeat_penalty: float

    @property
    def is_plain(self) -> bool:
        """It may be answered from memory: whoever wants an explanation wants that of a search."""
        return not self.question.params.explain and not self.collection.is_behind

    @property
    def name(self) -> str:
        """64 hexadecimal digits; that of another principal, version or filter is another."""
        told = {
            "collection": self.collection.identity,
            "version": self.version,
            "realm": self.question.realm,
            "text": self.text,
            "embedder": self.embedder,
            "reranker": self.reranker,
            "repeat_penalty": self.repeat_penalty,
            "dense_weight": self.question.dense_weight,
            "candidates": self.question.candidates if self.reranker else 0,
            **_told(self.question.params),
        }
        return blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=32).hexdigest()


def _told(params: SearchParams) -> dict[str, Any]:
    return {
        "top_k": params.top_k,
        "score_threshold": params.score_threshold,
        "nprobe": params.nprobe,
        "refine": params.refine,
        "filter": _json(params.filter),
        "required": _json(params.required),
        "boosts": [[_json(boost.filter), boost.weight] for boost in params.boosts],
    }


def _json(filter: Filter | None) -> dict[str, Any] | None:
    return None if filter is None else to_json(filter)
