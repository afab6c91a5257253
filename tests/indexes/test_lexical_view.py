"""BM25 over rows on the disk and in memory, against the formula in plain Python."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import lexical_view
from indexes.bm25 import LENGTHS, counts_of, saturation
from indexes.errors import LexicalError
from indexes.lexical_view import LexicalView
from indexes.newest_rows import NewestRows
from indexes.word_engine import WordEngine, engine_faults

VOCABULARY = [f"w{n}" for n in range(30)]


def plain_bm25(texts: Mapping[int, Sequence[str]], query: Sequence[str]) -> dict[int, float]:
    """Scores above 0 by row. Nothing here is taken from what is tested but the lengths that a byte can say."""
    mean = sum(map(len, texts.values())) / len(texts)
    scores: dict[int, float] = {}
    for word in set(query):
        having = [row for row, words in texts.items() if word in words]
        weight = math.log(1 + (len(texts) - len(having) + 0.5) / (len(having) + 0.5))
        for row in having:
            count, length = Counter(texts[row])[word], max(n for n in LENGTHS.tolist() if n <= len(texts[row]))
            part = weight * 2.2 * count / (count + 1.2 * (0.25 + 0.75 * length / mean))
            scores[row] = scores.get(row, 0.0) + part
    return scores


def texts_of(seed: int, rows: int, longest: int = 80) -> dict[int, list[str]]:
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    rng = np.random.default_rng(seed)
    likely = 1 / np.arange(1, len(VOCABULARY) + 1)
    likely /= likely.sum()
    return {
        3 * row + 1: [str(word) for word in rng.choice(VOCABULARY, int(rng.integers(1, longest)), p=likely)]
        for row in range(rows)
    }


def made(folder: Path, on_disk: Mapping[int, Sequence[str]], *newest: Mapping[int, Sequence[str]]) -> LexicalView:
    words = None
    if on_disk:
        folder.mkdir()
        engine = WordEngine(folder)
        rows = list(on_disk.items())
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):  # two segments
            engine.add((row, len(each), " ".join(each)) for row, each in part)
        words = engine.words()
    parts = []
    for each in newest:
        parts.append(NewestRows())
        for row, text in each.items():
            parts[-1].append(row, text)
    return LexicalView(words, tuple(parts))


def agrees(view: LexicalView, texts: Mapping[int, Sequence[str]], query: Sequence[str], tolerance: float) -> None:
    expected = plain_bm25(texts, query)
    rows, scores = view.best(query, 10_000)
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected, rel=tolerance)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("query", [["w0"], ["w1", "w29", "absent"], ["w0", "w0", "w5", "w28"], VOCABULARY])
def test_rows_on_the_disk_have_the_scores_of_the_formula(tmp_path: Path, query: list[str]) -> None:
    texts = texts_of(1, 200)
    agrees(made(tmp_path / "words", texts), texts, query, 1e-5)


@pytest.mark.parametrize("query", [["w0"], ["w1", "w29", "absent"], VOCABULARY])
def test_so_have_rows_in_memory(tmp_path: Path, query: list[str]) -> None:
    texts = texts_of(2, 200)
    rows = list(texts.items())
    agrees(made(tmp_path, {}, dict(rows[:120]), dict(rows[120:])), texts, query, 1e-9)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=60), max_size=20), st.sets(st.sampled_from(VOCABULARY)))
def test_so_has_whatever_is_in_memory(rows: list[list[str]], query: set[str]) -> None:
    texts = dict(enumerate(rows, 1))
    if texts:
        agrees(made(Path(), {}, texts), texts, sorted(query), 1e-9)


@pytest.mark.parametrize("query", [["w0"], ["w1", "w29"], VOCABULARY])
def test_both_together_weigh_words_as_one(tmp_path: Path, query: list[str]) -> None:
    texts = texts_of(3, 200)
    # Of one length, so that the two means of lengths are the same: where they differ, scores do by that.
    texts = {row: (words * 40)[:40] for row, words in texts.items()}
    rows = list(texts.items())
    agrees(made(tmp_path / "words", dict(rows[:150]), dict(rows[150:])), texts, query, 1e-5)


def test_the_mean_length_of_the_disk_is_near_enough_to_that_of_all(tmp_path: Path) -> None:
    texts = texts_of(4, 400)
    rows = list(texts.items())
    agrees(made(tmp_path / "words", dict(rows[:300]), dict(rows[300:])), texts, ["w3", "w20"], 0.1)


def test_a_row_that_is_there_twice_is_found_once(tmp_path: Path) -> None:
    texts = texts_of(5, 60)
    rows = list(texts.items())
    view = made(tmp_path / "words", dict(rows[:40]), dict(rows[30:50]), dict(rows[45:]))
    found, _ = view.best(["w0", "w1", "w2", "w3"], 1000)
    assert len(found) == len(set(found.tolist()))
    assert [row for row, *_ in view.newest_entries()] == [row for row, _ in rows[40:]]


def test_postings_tell_how_often_a_word_is_where(tmp_path: Path) -> None:
    texts = texts_of(12, 300, longest=400)
    rows = list(texts.items())
    view = made(tmp_path / "words", dict(rows[:200]), dict(rows[190:260]), dict(rows[250:]))
    for word in [*VOCABULARY, "absent"]:
        got = view.postings(word)
        told = sorted(zip(got.rows.tolist(), got.counts.tolist(), got.lengths.tolist(), strict=True))
        assert told == [(row, words.count(word), len(words)) for row, words in texts.items() if word in words]


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 5000), st.floats(1, 1000))
def test_a_count_is_read_off_a_score_of_single_precision(count: int, more: int, mean: float) -> None:
    counts, lengths = np.array([count]), np.array([count + more])
    rounded = saturation(counts, lengths, mean).astype(np.float32).astype(np.float64)
    assert counts_of(rounded, lengths, mean)[0] == pytest.approx(count, rel=0.02 if count > 500 else 0)


@pytest.mark.parametrize("count", [1, 30, 450])
def test_only_the_rows_that_are_named_are_found(tmp_path: Path, count: int) -> None:
    texts = texts_of(6, 1000, longest=20)
    rows = list(texts.items())
    view = made(tmp_path / "words", dict(rows[:900]), dict(rows[900:]))
    chosen = np.random.default_rng(6).choice(list(texts), count, replace=False).tolist()
    found, scores = view.best(["w0", "w7"], 2000, chosen)
    every = dict(zip(*(part.tolist() for part in view.best(["w0", "w7"], 2000)), strict=True))
    assert dict(zip(found.tolist(), scores.tolist(), strict=True)) == pytest.approx(
        {row: score for row, score in every.items() if row in set(chosen)}, rel=1e-5
    )


def test_a_limit_takes_the_best(tmp_path: Path) -> None:
    texts = texts_of(7, 300)
    rows = list(texts.items())
    view = made(tmp_path / "words", dict(rows[:200]), dict(rows[200:]))
    every, scores = view.best(["w4", "w9"], 1000)
    few, best = view.best(["w4", "w9"], 7)
    assert best == pytest.approx(scores[:7])
    assert set(few.tolist()) <= set(every[scores >= scores[6] * (1 - 1e-6)].tolist())


def test_a_limit_beyond_all_rows_takes_no_memory(tmp_path: Path) -> None:
    """tantivy takes memory for all that are wanted, and where there is none for them it ends the process."""
    view = made(tmp_path / "words", texts_of(13, 20))
    assert view.best(["w0"], 10**13)[0].tolist() == view.best(["w0"], 20)[0].tolist()


def test_counts_are_read_right_of_a_word_that_all_of_many_rows_have(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    engine = WordEngine(tmp_path / "words")
    engine.add((row, 1 + row % 12, "w " * (1 + row % 12)) for row in range(1, 400_001))
    got = engine.words().postings("w", range(1, 100))
    assert dict(zip(got.rows.tolist(), got.counts.tolist(), strict=True)) == {n: 1 + n % 12 for n in range(1, 100)}


def test_of_too_many_words_the_rarest_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(8, 300)
    view = made(tmp_path / "words", texts)
    common = sorted(VOCABULARY, key=lambda word: sum(word in words for words in texts.values()))
    monkeypatch.setattr(lexical_view, "MOST_WORDS", 3)
    assert view.best(VOCABULARY, 1000)[0].tolist() == view.best(common[:3], 1000)[0].tolist()


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    for view in (LexicalView(None, ()), made(tmp_path, {}, {})):
        assert view.best(["w0"], 10)[0].tolist() == []
        assert view.rows == 0
    texts = texts_of(9, 10)
    for query in ([], ["absent"], ["OR", "text:w0", "w0*", '"w0 w1"']):
        assert made(tmp_path / "-".join(query or "e").replace("/", ""), texts).best(query, 10)[0].tolist() == []


def test_rows_that_are_held_are_told_from_others(tmp_path: Path) -> None:
    texts = texts_of(10, 50)
    rows = list(texts.items())
    view = made(tmp_path / "words", dict(rows[:30]), dict(rows[30:]))
    asked = np.arange(200)
    assert view.holding(asked).tolist() == sorted(texts)


class PanicException(BaseException):
    """As pyo3 raises it: a class of that name which no module exports."""


@pytest.mark.parametrize("error", [PanicException("index out of bounds"), ValueError("x"), OSError(5, "x")])
def test_whatever_tantivy_fails_with_is_an_error_of_ours(error: BaseException) -> None:
    with pytest.raises(LexicalError, match="tantivy"), engine_faults():
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_end_that_somebody_asked_for_is_none(error: BaseException) -> None:
    with pytest.raises(type(error)), engine_faults():
        raise error


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> LexicalView:
    return made(tmp_path_factory.mktemp("view") / "words", texts_of(11, 50))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=300), st.sampled_from(VOCABULARY)), max_size=80))
def test_no_text_of_a_user_is_syntax(on_disk: LexicalView, words: list[str]) -> None:
    expected = plain_bm25(texts_of(11, 50), words)
    assert set(on_disk.best(words, 100)[0].tolist()) == set(expected) or len(set(words)) > lexical_view.MOST_WORDS
