"""LexicalView: every row of a collection by its words, those on the disk and those that are not there yet, as one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import RowIds
from indexes.bm25 import Corpus, idf, tantivy_idf
from indexes.generation import NO_ROWS
from indexes.newest_rows import NewestRows
from indexes.postings import Postings
from indexes.word_engine import NO_SCORES, Words, engine_faults

Bm25 = NDArray[np.float64]
# Of a longer query the rarest count: the others say little, and each costs a list of rows.
MOST_WORDS = 64


@dataclass(frozen=True, slots=True)
class LexicalView:
    """What a search for words works on.

    Words weigh by how rare they are in all rows. Lengths are held to the mean of all rows for the newest, and to the
    mean of those on the disk for these: tantivy knows no other. Rows that died and are still held count.

    Attributes:
        words: what is on the disk; None where nothing is.
        newest: what is not, oldest first; one may repeat rows of those before it.
    """

    words: Words | None
    newest: tuple[NewestRows, ...]

    @property
    def rows(self) -> int:
        """Held, dead ones counted."""
        return self._corpus.rows

    @property
    def memory_bytes(self) -> int:
        """Of the newest rows, about."""
        return sum(part.bytes for part in self.newest)

    def newest_entries(self) -> Iterator[tuple[int, int, str]]:
        """(row, words, text of them) of every row that is not on the disk, ascending."""
        for part, floor in self._floors():
            yield from part.behind(floor)

    def holding(self, rows: RowIds) -> RowIds:
        """Those of ``(n,)`` rows, ascending, that are here.

        Raises:
            LexicalError: tantivy failed.
        """
        with engine_faults():
            held = [self.words.holding(rows)] if self.words else []
        held += [np.array([row for row, *_ in part.behind(0)], dtype=np.int64) for part in self.newest]
        return np.intersect1d(rows, np.concatenate([NO_ROWS, *held]))

    def best(self, words: Sequence[str], limit: int, among: Sequence[int] | None = None) -> tuple[RowIds, Bm25]:
        """The rows that have one of the words with the highest BM25, best first, equal ones by row.

        Args:
            words: of a query, as an ``Analyzer`` makes them.
            limit: rows at most.
            among: only these.

        Raises:
            LexicalError: tantivy failed.
        """
        corpus, weights = self._corpus, self._weights(words)
        if not weights:
            return NO_ROWS, NO_SCORES
        parts = [self._on_disk(weights, limit, among)]
        for part, floor in self._floors():
            rows, scores = part.scores(weights, corpus.mean_length, floor)
            if among is not None:
                passing = np.isin(rows, np.asarray(among, dtype=np.int64))
                rows, scores = rows[passing], scores[passing]
            parts.append((rows, scores))
        rows = np.concatenate([rows for rows, _ in parts])
        scores = np.concatenate([scores for _, scores in parts])
        order = np.lexsort((rows, -scores))[:limit]
        return rows[order], scores[order]

    def postings(self, word: str, among: RowIds | None = None) -> Postings:
        """The rows that have the word.

        Args:
            among: ``(n,)``, only these.

        Raises:
            LexicalError: tantivy failed.
        """
        named = None if among is None else among.tolist()
        with engine_faults():
            parts = [self.words.postings(word, named)] if self.words else []
        for part, floor in self._floors():
            newest = part.postings(word, floor)
            parts.append(newest if among is None else newest.of(np.isin(newest.rows, among)))
        return Postings.joined(parts)

    def frequency(self, word: str) -> int:
        """Rows that have the word, dead ones and those that are held twice counted.

        Raises:
            LexicalError: tantivy failed.
        """
        with engine_faults():
            on_disk = self.words.frequency(word) if self.words else 0
        return on_disk + sum(part.frequency(word) for part in self.newest)

    def _on_disk(self, weights: Mapping[str, float], limit: int, among: Sequence[int] | None) -> tuple[RowIds, Bm25]:
        if self.words is None or not self.words.corpus.rows:
            return NO_ROWS, NO_SCORES
        with engine_faults():
            rows = self.words.corpus.rows
            # tantivy multiplies with the idf of its own rows.
            found = {word: self.words.frequency(word) for word in weights}
            own = {word: tantivy_idf(rows, count) for word, count in found.items() if count}
            scales = {word: weights[word] / weight for word, weight in own.items() if weight}
            return self.words.best(scales, limit, among) if scales else (NO_ROWS, NO_SCORES)

    def _weights(self, words: Sequence[str]) -> dict[str, float]:
        rows = self._corpus.rows
        found = {word: self.frequency(word) for word in dict.fromkeys(words)}
        weights = {word: idf(rows, min(rows, count)) for word, count in found.items() if count}
        rarest = sorted(weights, key=lambda word: -weights[word])[:MOST_WORDS]
        return {word: weights[word] for word in rarest}

    @property
    def _corpus(self) -> Corpus:
        on_disk = self.words.corpus if self.words else Corpus()
        return sum((part.corpus for part in self.newest), on_disk)

    def _floors(self) -> Iterator[tuple[NewestRows, int]]:
        """Every newest part, and the row above which it is the first to have what it has."""
        floor = self.words.last_row if self.words else 0
        for part in self.newest:
            yield part, floor
            floor = max(floor, part.last_row)
