"""What a collection must answer, from a dict and NumPy."""

from collections.abc import Mapping, Sequence

import numpy as np

from faults.workload import Content
from indexes.base import Chunk, Hit, Vectors

_TOLERANCE = 1e-5  # of a score, relative where it is large


class Oracle:
    """Documents by id, searched with one matrix product."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._documents: dict[str, Content] = {}

    def __getitem__(self, document_id: str) -> Content | None:
        return self._documents.get(document_id)

    @property
    def ids(self) -> list[str]:
        """Sorted as a listing is."""
        return sorted(self._documents)

    @property
    def counts(self) -> tuple[int, int]:
        """Documents and chunks."""
        return len(self._documents), sum(len(content.chunks) for content in self._documents.values())

    def put(self, content: Content) -> None:
        """Insert or replace."""
        self._documents[content.document.id] = content

    def delete(self, document_id: str) -> bool:
        """Whether it was there."""
        return self._documents.pop(document_id, None) is not None

    def delete_matching(self, raw: Mapping[str, object]) -> int:
        """How many documents went."""
        gone = [id_ for id_, content in self._documents.items() if matches(raw, content.document.metadata)]
        return sum(self.delete(id_) for id_ in gone)

    def check(self, hits: Sequence[Hit], query: Vectors, top_k: int, raw: Mapping[str, object] | None) -> None:
        """The best scores in order, each hit once and with its own score; among ties any may be there.

        Raises:
            AssertionError: something else.
        """
        scores = self._scores(query, raw)
        best = np.array(sorted(scores.values(), reverse=True)[:top_k])
        assert len(hits) == len(best), f"{len(hits)} hits, not {len(best)}"
        assert len({hit.chunk for hit in hits}) == len(hits), "a chunk is found twice"
        unknown = [hit.chunk for hit in hits if hit.chunk not in scores]
        assert not unknown, f"found, but not to be found: {unknown}"
        found = np.array([hit.score for hit in hits])
        np.testing.assert_allclose(found, best, rtol=_TOLERANCE, atol=_TOLERANCE)
        own = [scores[hit.chunk] for hit in hits]
        np.testing.assert_allclose(found, own, rtol=_TOLERANCE, atol=_TOLERANCE)
        for hit in hits:
            title = self._documents[hit.chunk.document_id].document.title
            assert hit.title == title, f"{hit.chunk.id} has the title {hit.title!r}, not {title!r}"

    def _scores(self, query: Vectors, raw: Mapping[str, object] | None) -> dict[Chunk, float]:
        scores: dict[Chunk, float] = {}
        for content in self._documents.values():
            if content.chunks and (raw is None or matches(raw, content.document.metadata)):
                scores.update(zip(content.chunks, self._score(content.vectors, query), strict=True))
        return scores

    def _score(self, vectors: Vectors, query: Vectors) -> list[float]:
        rows, asked = vectors.astype(np.float64), query.astype(np.float64)
        if self._metric == "l2":
            return (-((rows - asked) ** 2).sum(axis=1)).tolist()
        product = rows @ asked
        if self._metric == "cosine":
            product /= np.linalg.norm(rows, axis=1) * np.linalg.norm(asked)
        return product.tolist()


def matches(raw: Mapping[str, object], metadata: Mapping[str, object]) -> bool:
    """The filters that are asked here: eq and in of strings, gte of numbers, and both of two of them."""
    if raw["type"] == "and":
        return all(matches(part, metadata) for part in raw["filters"])
    held, value = metadata[raw["key"]], raw["value"]
    return {"eq": lambda: held == value, "in": lambda: held in value, "gte": lambda: held >= value}[raw["type"]]()
