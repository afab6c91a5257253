"""tantivy as this program uses it: rows and their words in a folder, and BM25 over them.

Texts come as words that are separated by blanks; whoever asks has analysed them the same way. Nothing here parses what
a user wrote.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tantivy import Document, Index, Occur, Query, Schema, SchemaBuilder, Searcher

from indexes.base import RowIds
from indexes.bm25 import Corpus, counts_of, tantivy_idf
from indexes.errors import LexicalError
from indexes.generation import NO_ROWS
from indexes.postings import Postings

NO_SCORES: NDArray[np.float64] = np.empty(0, dtype=np.float64)

_ROW, _LENGTH, _TEXT, _OPTION = "row", "length", "text", "freq"
# Up to so many rows a query for each is faster than a set of them, for which tantivy goes through all row numbers.
_FEW_TERMS = 400
# Rows of one set.
_SET_ROWS = 10_000
# What tantivy gathers before it writes a segment; 15 MB is the least it takes.
_HEAP_BYTES = 50_000_000


@contextmanager
def engine_faults() -> Iterator[None]:
    """Whatever goes wrong in tantivy, a panic included, is a ``LexicalError``."""
    try:
        yield
    except (ValueError, OSError, OverflowError, MemoryError, RuntimeError) as error:
        raise LexicalError(f"tantivy: {error}") from error
    except BaseException as error:
        # pyo3 raises a panic of Rust code as a BaseException of its own, whose class no module exports.
        if type(error).__name__ != "PanicException":
            raise
        raise LexicalError(f"tantivy panicked: {error}") from error


@dataclass(frozen=True, slots=True)
class Words:
    """An index as of one commit; searched by any thread.

    Attributes:
        corpus: rows and words in it.
        last_row: the highest row; 0 where there is none.
    """

    searcher: Searcher
    schema: Schema
    corpus: Corpus
    last_row: int

    def frequency(self, word: str) -> int:
        """Rows that have the word."""
        return self.searcher.doc_freq(_TEXT, word)

    def best(
        self, weights: Mapping[str, float], limit: int, among: Sequence[int] | None = None
    ) -> tuple[RowIds, NDArray[np.float64]]:
        """Rows that have one of the words with the highest BM25, best first, and that.

        Args:
            weights: what the BM25 of each word is multiplied by.
            limit: rows at most.
            among: only these.
        """
        query = self._any_of(weights)
        if among is not None:
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, self._named(among))])
        # tantivy takes memory for as many at once, and where there is none for it it ends the process.
        hits = self.searcher.search(query, min(limit, self.corpus.rows), count=False).hits
        if not hits:
            return NO_ROWS, NO_SCORES
        rows = np.array(self.searcher.fast_field_values(_ROW, [address for _, address in hits]), dtype=np.int64)
        return rows, np.array([score for score, _ in hits], dtype=np.float64)

    def postings(self, word: str, among: Sequence[int] | None = None) -> Postings:
        """The rows that have the word. How often is read off its score, as tantivy tells it no other way.

        Args:
            among: only these; up to 400 take a time that depends on nothing else.
        """
        frequency = self.frequency(word)
        weight = tantivy_idf(self.corpus.rows, frequency)
        if not frequency or not weight:
            return Postings.none()
        query = self._term(word)
        if among is not None:
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, self._named(among))])
        limit = frequency if among is None else min(frequency, len(among))
        hits = self.searcher.search(query, limit, count=False).hits
        addresses = [address for _, address in hits]
        rows, lengths = (
            np.array(self.searcher.fast_field_values(name, addresses), dtype=np.int64) for name in (_ROW, _LENGTH)
        )
        saturations = np.array([score for score, _ in hits], dtype=np.float64) / weight
        return Postings(rows, counts_of(saturations, lengths, self.corpus.mean_length), lengths)

    def holding(self, rows: RowIds) -> RowIds:
        """Those of ``(n,)`` rows that are here, ascending."""
        found = [NO_ROWS]
        for first in range(0, len(rows), _SET_ROWS):
            named = self._named(rows[first : first + _SET_ROWS].tolist())
            hits = self.searcher.search(named, _SET_ROWS, count=False).hits
            held = self.searcher.fast_field_values(_ROW, [address for _, address in hits])
            found.append(np.sort(np.array(held, dtype=np.int64)))
        return np.concatenate(found)

    def _named(self, rows: Sequence[int]) -> Query:
        """These rows, at a score of 0."""
        if len(rows) > _FEW_TERMS:
            return Query.const_score_query(Query.term_set_query(self.schema, _ROW, rows), 0.0)
        terms = [(Occur.Should, Query.term_query(self.schema, _ROW, row)) for row in rows]
        return Query.const_score_query(Query.boolean_query(terms), 0.0)

    def _any_of(self, weights: Mapping[str, float]) -> Query:
        terms = []
        for word, weight in weights.items():
            term = self._term(word)
            terms.append((Occur.Should, term if weight == 1 else Query.boost_query(term, weight)))
        return Query.boolean_query(terms)

    def _term(self, word: str) -> Query:
        return Query.term_query(self.schema, _TEXT, word, _OPTION)


class WordEngine:
    """The index in a folder; for one thread at a time, unlike the ``Words`` it gives out.

    Raises:
        LexicalError: tantivy cannot open or make it.
    """

    def __init__(self, folder: Path) -> None:
        with engine_faults():
            self._index = Index(_schema(), str(folder))
            self._index.config_reader("manual")

    def words(self) -> Words:
        """What was committed last.

        Raises:
            LexicalError: it cannot be read.
        """
        with engine_faults():
            self._index.reload()
            searcher = self._index.searcher()
            wanted = {
                "rows": {"value_count": {"field": _ROW}},
                "words": {"sum": {"field": _LENGTH}},
                "last": {"max": {"field": _ROW}},
            }
            counted = searcher.aggregate(Query.all_query(), wanted)
            rows, words, last = (int(counted[name]["value"] or 0) for name in ("rows", "words", "last"))
            return Words(searcher, self._index.schema, Corpus(rows, words), last)

    def add(self, entries: Iterable[tuple[int, int, str]]) -> None:
        """Commit (row, number of words, words) and end what merges segments, so that no file changes after this.

        Raises:
            LexicalError: nothing was committed, or only the merge failed.
        """
        with engine_faults():
            writer = self._index.writer(_HEAP_BYTES, 1)
            try:
                for row, length, text in entries:
                    document = Document()
                    document.add_unsigned(_ROW, row)
                    document.add_unsigned(_LENGTH, length)
                    document.add_text(_TEXT, text)
                    writer.add_document(document)
                writer.commit()
            finally:
                writer.wait_merging_threads()  # gives the folder's lock back, after a failure too


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_unsigned_field(_ROW, indexed=True, fast=True)
    builder.add_unsigned_field(_LENGTH, fast=True)
    builder.add_text_field(_TEXT, tokenizer_name="whitespace", index_option=_OPTION)
    return builder.build()
