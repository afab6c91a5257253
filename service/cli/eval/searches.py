"""Searches: every query put to POST /v1/search in one way, and what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.cli.eval.asker import Asker, RefusedError
from service.cli.eval.dataset import Query
from service.cli.eval.reciprocal_ranks import fused
from service.cli.eval.way import Way


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that the server refused. A search then found nothing; an answer is left out of every share."""

    query: str
    said: str


@dataclass(frozen=True, slots=True)
class Found:
    """The reply to one search, or what several came to.

    Attributes:
        chunks: ids, best first.
        documents: in the order of the best chunk of each.
        seconds: of all its requests.
        is_exact: every row was scored; None where the server does not say.
        degraded: what the server had to leave out.
    """

    query: str
    chunks: tuple[str, ...]
    documents: tuple[str, ...]
    seconds: float
    is_exact: bool | None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Searches:
    """All of one way."""

    found: tuple[Found, ...]
    failures: tuple[Failure, ...]

    @property
    def rankings(self) -> dict[str, tuple[str, ...]]:
        """Documents by query, none for one that failed."""
        empty: dict[str, tuple[str, ...]] = {failure.query: () for failure in self.failures}
        return empty | {each.query: each.documents for each in self.found}


@dataclass(frozen=True, slots=True)
class SearchTask:
    """What to search, how, and how deep."""

    collection: str
    way: Way
    top_k: int

    def bodies(self, text: str) -> list[dict[str, Any]]:
        """Of its requests."""
        asked = {"query": text, "collection": self.collection, "top_k": self.top_k, "explain": True}
        return [{**asked, **fields} for fields in self.way.requests]


def search_all(asker: Asker, task: SearchTask, queries: Sequence[Query]) -> Searches:
    """Every query once.

    Raises:
        httpx.TransportError: the server is gone.
    """
    what = f"{task.collection}: searches for {task.top_k} chunks, {task.way.name}"
    done = asker.each(what, partial(_searched, asker, task), queries, len(queries))
    return Searches(
        tuple(each for each in done if isinstance(each, Found)),
        tuple(each for each in done if isinstance(each, Failure)),
    )


def _searched(asker: Asker, task: SearchTask, query: Query) -> Found | Failure:
    try:
        replies = [asker.post("/v1/search", body) for body in task.bodies(query.text)]
    except RefusedError as error:
        return Failure(query.id, str(error))
    documents = {chunk["id"]: chunk["document_id"] for reply in replies for chunk in reply.body["chunks"]}
    chunks = tuple(documents) if len(replies) == 1 else tuple(fused(_ranking(reply.body) for reply in replies))
    return Found(
        query.id,
        chunks,
        tuple(dict.fromkeys(documents[chunk] for chunk in chunks)),
        sum(reply.seconds for reply in replies),
        _is_exact(replies[0].body["explain"]),
        tuple(dict.fromkeys(str(rung) for reply in replies for rung in reply.body.get("degraded", ()))),
    )


def _ranking(reply: Mapping[str, Any]) -> list[str]:
    """Chunks by the score of their retriever alone, as no other list had a part in it.

    What only vectors found is in no list of words.
    """
    chunks = reply["chunks"]
    own = "lexical" if any("lexical" in chunk["scores"] for chunk in chunks) else "vector"
    listed = [chunk for chunk in chunks if own == "vector" or chunk["scores"][own] > 0]
    return [chunk["id"] for chunk in sorted(listed, key=lambda chunk: -chunk["scores"][own])]


def _is_exact(explain: dict[str, Any]) -> bool | None:
    """Rows that no index covers are always scored, the others where the plan is a scan."""
    if explain["sealed_rows"] is None:
        return None
    return not explain["sealed_rows"] or (explain["plan"] or {}).get("way") == "scan"
