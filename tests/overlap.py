"""A reranker without weights."""

from collections.abc import Sequence

import numpy as np

from models.base import Finished, RerankerInfo, TextKind, TokenPair
from models.hashing import HashingEmbedder


class Overlap:
    """Scores a document by the share of the query's words that it has."""

    def __init__(self) -> None:
        self.info = RerankerInfo("overlap", "overlap-1", 256, "cpu", "float32", "the only one")

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        (asked,) = HashingEmbedder().tokenize([query], TextKind.QUERY)
        answers = HashingEmbedder().tokenize(documents, TextKind.DOCUMENT)
        return [TokenPair(asked + ids, [0] * len(asked) + [1] * len(ids)) for ids in answers]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        scores = [self._score(pair) for pair in batch]
        return Finished(sum(map(len, batch)), np.array(scores, np.float32).reshape(-1, 1))

    def warm_up(self, tokens: int) -> int:
        return 0 * tokens

    @staticmethod
    def _score(pair: TokenPair) -> float:
        parts: tuple[set[int], set[int]] = set(), set()
        for token, part in zip(pair.ids, pair.type_ids, strict=True):
            parts[part].add(token)
        asked, answer = parts
        return len(asked & answer) / max(1, len(asked))
