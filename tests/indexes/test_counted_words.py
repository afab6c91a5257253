"""Words that are counted for many texts at once come to what each text has."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.analysis import Analyzer
from indexes.counted_words import Passage, counted_words
from indexes.lexical_text import lexical_text
from indexes.newest_rows import NewestRows

TEXTS = st.lists(st.lists(st.lists(st.sampled_from("abcde"), max_size=6), min_size=1, max_size=3), max_size=6)


@given(texts=TEXTS, before=st.integers(0, 3))
def test_they_are_what_a_counter_says_of_each_text(texts: list[list[list[str]]], before: int) -> None:
    counted = counted_words([Passage(words) for words in text] for text in texts)
    flat = [[word for words in text for word in words] for text in texts]
    assert list(counted.texts) == [" ".join(words) for words in flat]
    assert list(counted.lengths) == [len(words) for words in flat]
    assert len(counted) == len(texts)
    found: dict[int, Counter[str]] = {}
    for word, ordinals, counts in counted.postings(before):
        for ordinal, count in zip(ordinals.cast("q"), counts.cast("i"), strict=True):
            found.setdefault(ordinal, Counter())[word] = count
    assert found == {before + n: Counter(words) for n, words in enumerate(flat) if words}


@given(batches=st.lists(TEXTS, max_size=4))
def test_rows_that_come_at_once_are_found_as_those_that_come_one_by_one(batches: list[list[list[list[str]]]]) -> None:
    at_once, one_by_one, last = NewestRows(), NewestRows(), 0
    for texts in batches:
        rows = list(range(last + 2, last + 2 + len(texts)))
        at_once.extend(rows, counted_words([Passage(words) for words in text] for text in texts))
        for row, text in zip(rows, texts, strict=True):
            one_by_one.append(row, [word for words in text for word in words])
        last = max([last, *rows])
    assert list(at_once.behind(0)) == list(one_by_one.behind(0))
    assert (at_once.corpus, at_once.bytes, at_once.last_row) == (
        one_by_one.corpus,
        one_by_one.bytes,
        one_by_one.last_row,
    )
    for word in "abcde":
        mine, theirs = at_once.postings(word, 0), one_by_one.postings(word, 0)
        assert mine.rows.tolist() == theirs.rows.tolist()
        assert mine.counts.tolist() == theirs.counts.tolist()


def test_rows_without_words_are_refused_and_nothing_is_added() -> None:
    rows = NewestRows()
    with pytest.raises(ValueError, match="2 rows have the words of 1 texts"):
        rows.extend([1, 2], counted_words([[Passage(["a"])]]))
    assert (len(rows), rows.frequency("a")) == (0, 0)


PIECES = st.text(st.sampled_from("ab é\u0301ßK東\n.ก"), max_size=8)


@pytest.mark.parametrize("language", ["unicode", "de"])
@given(title=PIECES, path=st.lists(PIECES, max_size=2), text=PIECES)
def test_a_title_is_read_apart_as_it_is_read_with_the_text(
    language: str, title: str, path: list[str], text: str
) -> None:
    analyzer = Analyzer(language)
    apart = [*analyzer.terms(lexical_text(title, path, "")), *analyzer.terms(text)]
    assert apart == list(analyzer.terms(lexical_text(title, path, text)))
