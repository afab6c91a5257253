"""Texts that say nearly the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit
from service.duplicates import NEARLY_THE_SAME, Duplicate, resemblance, shingles_of, told_apart


def word(number: int) -> str:
    return "word" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


SENTENCE = " ".join(word(number) for number in range(75))
LONG = " ".join(word(number) for number in range(2000))
WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=40).map(" ".join)


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(Chunk(f"d{place}", 0, text, 0, len(text)), "", None, 1.0 - place / 100) for place, text in enumerate(texts)
    ]


def kept(*texts: str, wanted: int = 100) -> list[str]:
    return [hit.chunk.document_id for hit in told_apart(hits(*texts), wanted)[0]]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (SENTENCE, SENTENCE, True),
        (SENTENCE, f"  {SENTENCE.upper()}!\n", True),  # neither case nor marks nor spaces are words
        (SENTENCE, SENTENCE.replace(f"{word(37)} ", "other "), True),
        (SENTENCE, SENTENCE.replace(f"{word(30)} ", "other ").replace(f"{word(40)} ", "more "), False),
        (SENTENCE, SENTENCE[: len(SENTENCE) // 2], False),
        (SENTENCE, " ".join(reversed(SENTENCE.split())), False),
        (f"There are 28 days of leave. {SENTENCE}", f"There are 27 days of leave. {SENTENCE}", False),
        (f"Part QX-7 of it. {SENTENCE}", f"part qx-7, of it! {SENTENCE}", True),
        (LONG, LONG + " and", True),
        (LONG, LONG + LONG, False),
        ("Yes.", "yes", True),
        ("The audit", "the AUDIT", True),
        ("The audit", "audit the", False),
        ("on 4 May", "on 5 May", False),
        ("!!!", "!!! ", True),
        ("!!!", "???", False),
        ("", "???", False),
    ],
)
def test_what_nearly_the_same_is(one: str, other: str, same: bool) -> None:
    assert kept(one, other) == (["d0"] if same else ["d0", "d1"])
    assert kept(other, one) == (["d0"] if same else ["d0", "d1"])


def test_the_better_ranked_stays_and_says_of_which_the_others_are_copies() -> None:
    found, passed_over = told_apart(hits("a b c d", "x y z", "A b c d.", "X Y Z", "a b c d", "q r s"), 3)
    assert [hit.chunk.id for hit in found] == ["d0#0", "d1#0", "d5#0"]
    assert passed_over == [Duplicate("d2#0", "d0#0"), Duplicate("d3#0", "d1#0"), Duplicate("d4#0", "d0#0")]


def test_no_more_are_read_than_it_takes() -> None:
    assert kept("a", "a", "b", "c", "b", wanted=2) == ["d0", "d2"]
    assert told_apart(hits("a", "a", "b", "b"), 2)[1] == [Duplicate("d1#0", "d0#0")]
    assert told_apart([], 2) == told_apart(hits("a"), 0) == ([], [])


@given(WORDS, WORDS)
def test_the_resemblance_is_jaccard_s_where_it_matters(one: str, other: str) -> None:
    a, b = shingles_of(one), shingles_of(other)
    exact = len(a & b) / len(a | b)
    assert resemblance(a, b) == resemblance(b, a)
    assert (resemblance(a, b) >= NEARLY_THE_SAME) == (exact >= NEARLY_THE_SAME)
    assert resemblance(a, b) in {0.0, exact}


@given(st.lists(WORDS, max_size=12))
def test_all_that_are_kept_differ_and_all_that_are_not_resemble_one(texts: list[str]) -> None:
    found, passed_over = told_apart(hits(*texts), 100)
    by_id = {hit.chunk.id: shingles_of(hit.chunk.text) for hit in hits(*texts)}
    ids = [hit.chunk.id for hit in found]
    assert all(resemblance(by_id[one], by_id[other]) < NEARLY_THE_SAME for one in ids for other in ids if one != other)
    assert all(resemblance(by_id[each.chunk], by_id[each.of]) >= NEARLY_THE_SAME for each in passed_over)
    assert sorted([*ids, *(each.chunk for each in passed_over)]) == sorted(by_id)
