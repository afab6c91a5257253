"""What the benchmark of search measures with: texts, cached vectors, recall, and the hunt for leaks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from indexes.base import Hit, SearchParams, Vectors
from indexes.filters import matches
from models.base import TextKind
from service.cli.bench.search import cached_vectors
from service.cli.bench.search.cached_vectors import CachedVectors
from service.cli.bench.search.corpus import SHARES, Corpus, Piece, name_of, row_of
from service.cli.bench.search.documentation import Documentation, TooFewTextsError
from service.cli.bench.search.latency import alternated
from service.cli.bench.search.leaks import LeakHunt
from service.cli.bench.search.recall import recall, truths
from service.cli.bench.search.vectors import made_up

CORPUS = Corpus(made_up(1000, 16, queries=50))


def hits_of(rows: Sequence[int], corpus: Corpus = CORPUS) -> list[Hit]:
    return [Hit(corpus.piece(row // 8).chunks[row % 8], "", None, 0.0) for row in rows]


# Texts.


@pytest.fixture
def stdlib(tmp_path: Path) -> Path:
    """Every word is there once, so that a word tells where it is from."""
    words = [f"word{n}" for n in range(3000)]
    (tmp_path / "a.py").write_text(f'"""{" ".join(words[:1000])}"""\n# {" ".join(words[1000:2000])}\n')
    (tmp_path / "b.py").write_text(f'class B:\n    """{" ".join(words[2000:])}"""\n')
    (tmp_path / "broken.py").write_text('"""Not read."""\nclass\n')
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "c.py").write_text('"""' + "other " * 100 + '"""')
    return tmp_path


def test_rows_are_distinct_windows_of_documentation(stdlib: Path) -> None:
    documentation = Documentation.read(stdlib)
    rows = documentation.rows(1000)
    assert len(set(rows)) == 1000
    assert all(16 <= len(row.split()) <= 64 for row in rows)
    words = {word for row in rows for word in row.split()}
    assert len(words) > 2700  # of 3000; some are near a query
    assert "other" not in words
    assert documentation.files[1][:2] == ["B:", "word2000"]


def test_queries_share_no_word_with_rows(stdlib: Path) -> None:
    documentation = Documentation.read(stdlib)
    queries = documentation.queries(5)
    assert all(6 <= len(query.split()) <= 16 for query in queries)
    of_queries = {word for query in queries for word in query.split()}
    assert not of_queries & {word for row in documentation.rows(1300) for word in row.split()}


def test_fewer_rows_are_the_first_of_more(stdlib: Path) -> None:
    documentation, again = Documentation.read(stdlib), Documentation.read(stdlib)
    assert documentation.digest == again.digest
    assert documentation.rows(1000)[:100] == again.rows(100)


def test_a_change_of_the_text_changes_the_digest(stdlib: Path) -> None:
    before = Documentation.read(stdlib).digest
    (stdlib / "d.py").write_text('"""Something new."""')
    assert Documentation.read(stdlib).digest != before


def test_more_windows_than_there_are_is_an_error(stdlib: Path) -> None:
    with pytest.raises(TooFewTextsError, match="not 100000"):
        Documentation.read(stdlib).rows(100_000)


def test_the_real_library_is_read_without_site_packages(tmp_path: Path) -> None:
    """One module in place of all, which take a while."""
    (tmp_path / "json.py").write_text(Path(json_source()).read_text())
    words = Documentation.read(tmp_path).files[0]
    assert "JSON" in words


def json_source() -> str:
    import json  # noqa: PLC0415

    return json.__file__


# Cached vectors.


class Counting:
    """An embedder whose vectors are the lengths of the texts; it may break off."""

    info = SimpleNamespace(dimension=2)

    def __init__(self, breaks_after: int | None = None) -> None:
        self.embedded = 0
        self._breaks_after = breaks_after

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        return [[0] * len(text) for text in texts]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        if self._breaks_after is not None and self.embedded >= self._breaks_after:
            raise KeyboardInterrupt
        self.embedded += len(batch)
        return np.array([[len(ids), 1] for ids in batch], dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CachedVectors:
    monkeypatch.setattr(cached_vectors, "_BLOCK_ROWS", 10)
    return CachedVectors(tmp_path / "cache", TextKind.DOCUMENT, "rows")


def said(_: str) -> None:
    pass


def test_vectors_come_back_in_the_order_of_their_texts(cache: CachedVectors) -> None:
    texts = ["x" * (1 + n * 7 % 25) for n in range(25)]
    assert cache.read(25) is None
    vectors = cache.complete(texts, Counting(), said)
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    again = cache.read(25)
    assert again is not None
    assert again.tolist() == vectors.tolist()


def test_an_interrupted_run_goes_on(cache: CachedVectors) -> None:
    texts = ["x" * (n + 1) for n in range(25)]
    with pytest.raises(KeyboardInterrupt):
        cache.complete(texts, Counting(breaks_after=10), said)
    rest = Counting()
    assert cache.complete(texts, rest, said)[:, 0].tolist() == list(range(1, 26))
    assert rest.embedded == 15


def test_more_rows_keep_the_blocks_that_are_whole(cache: CachedVectors) -> None:
    texts = ["x" * (n + 1) for n in range(25)]
    cache.complete(texts[:14], Counting(), said)
    fewer = cache.read(7)
    assert fewer is not None
    assert len(fewer) == 7
    assert cache.read(15) is None
    more = Counting()
    cache.complete(texts, more, said)
    assert more.embedded == 15


# Recall.


def test_recall_counts_the_best_rows() -> None:
    vectors = CORPUS.vectors
    known = list(truths(vectors.rows, vectors.queries, 10))
    best = np.argsort(-(vectors.queries @ vectors.rows.T), axis=1)
    assert recall(vectors.rows, vectors.queries, known, [hits_of(row[:10]) for row in best]).value == 1
    halves = [hits_of([*row[:5], *row[20:25]]) for row in best]
    assert recall(vectors.rows, vectors.queries, known, halves).value == pytest.approx(0.5)
    doubled = [hits_of([*row[:5], *row[:5]]) for row in best]
    assert recall(vectors.rows, vectors.queries, known, doubled).value == pytest.approx(0.5)


def test_rows_that_a_filter_drops_are_no_hits() -> None:
    vectors, share = CORPUS.vectors, SHARES[0]
    known = list(truths(vectors.rows, vectors.queries, 10, lambda query: CORPUS.kept(share, query % 2)))
    best = np.argsort(-(vectors.queries @ vectors.rows.T), axis=1)
    right = [[row for row in order if CORPUS.kept(share, query % 2)[row]] for query, order in enumerate(best)]
    assert recall(vectors.rows, vectors.queries, known, [hits_of(row[:10]) for row in right]).value == 1
    wrong = recall(vectors.rows, vectors.queries, known, [hits_of(row[:10]) for row in best])
    assert wrong.value < 0.8
    missing = recall(vectors.rows, vectors.queries, known, [hits_of(row[:9]) for row in right])
    assert (missing.value, missing.short) == (0.9, 50)


def test_a_filter_of_a_share_keeps_that_share_of_the_documents() -> None:
    for share in SHARES[:2]:
        kept = [CORPUS.kept(share, value).mean() for value in range(share.modulus)]
        assert sum(kept) == pytest.approx(1)
        assert max(kept) <= 1.5 / share.modulus
    chunk = CORPUS.piece(3).chunks[5]
    assert row_of(chunk) == 29
    assert CORPUS.piece(3).document.text[chunk.start : chunk.end] == chunk.text == CORPUS.vectors.texts[29]


def test_every_way_is_timed_with_the_same_queries() -> None:
    asked: dict[str, list[int]] = {"a": [], "b": []}
    times = alternated({name: seen.append for name, seen in asked.items()}, queries=7, concurrency=3, samples=100)
    assert sorted(asked["a"]) == sorted(asked["b"])
    assert len(asked["a"]) >= 100
    assert set(asked["a"]) == set(range(7))
    assert times.keys() == {"a", "b"}


# Leaks.


class Scan:
    """A subject that scans its documents; ``wrong`` says how it fails."""

    def __init__(self, wrong: str = "") -> None:
        self.pieces = {name_of(number): CORPUS.piece(number) for number in range(CORPUS.documents)}
        self._wrong = wrong
        self._stale = {name: piece.document.metadata for name, piece in self.pieces.items()}

    def put(self, piece: Piece) -> None:
        self.pieces[piece.document.id] = piece

    def metadata(self, document_id: str) -> Mapping[str, Any]:
        return self.pieces[document_id].document.metadata

    def searched(self, query: Vectors, params: SearchParams) -> list[Hit]:
        (filter,) = [each for each in (params.filter, params.required) if each is not None]
        of = self._stale if self._wrong == "stale" else {name: self.metadata(name) for name in self.pieces}
        kept = [name for name in self.pieces if self._wrong == "unfiltered" or matches(filter, of[name])]
        hits = [Hit(chunk, "", None, 0.0) for name in kept for chunk in self.pieces[name].chunks][: params.top_k]
        return hits[1:] if self._wrong == "short" else hits


def test_a_search_that_filters_has_no_leaks() -> None:
    leaks = LeakHunt(Scan(), CORPUS, seed=1).run(300, said)
    assert leaks.met
    assert (leaks.filters, leaks.updates) == (300, 15)
    assert 1000 < leaks.hits < 3000  # some filters keep fewer than ten rows


@pytest.mark.parametrize("wrong", ["unfiltered", "stale"])
def test_a_leak_is_found(wrong: str) -> None:
    leaks = LeakHunt(Scan(wrong), CORPUS, seed=1).run(600, said)
    assert leaks.leaked > 0
    assert not leaks.met
    assert leaks.examples[0]["filter"]["type"]


def test_a_missing_hit_is_found() -> None:
    leaks = LeakHunt(Scan("short"), CORPUS, seed=1).run(300, said)
    assert (leaks.leaked, leaks.met) == (0, False)
    assert leaks.short > 250
