"""Sentences of a text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.languages import LANGUAGES
from service.sentences import spans_of


def sentences(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in spans_of(text, 0, language)]


def test_list_items_and_table_rows_stand_alone_without_their_markup() -> None:
    text = "Some words stand here first:\n\n- **Honey bees sleep** in the hive\n- Wasps sleep\n| bees | sleep | at | night |"  # noqa: E501
    assert sentences(text) == [
        "Some words stand here first:",
        "Honey bees sleep** in the hive",
        "| bees | sleep | at | night |",
    ]


def test_headings_and_fences_are_none() -> None:
    assert sentences("# A heading of many words\n\n```python and more words here") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("蜜蜂在冬天睡觉。它们的蜂巢又暖又干。", ["蜜蜂在冬天睡觉。", "它们的蜂巢又暖又干。"]),
        ("ミツバチは冬に眠る。巣は暖かい。", ["ミツバチは冬に眠る。", "巣は暖かい。"]),
        ("ผึ้งนอนหลับในฤดูหนาว", ["ผึ้งนอนหลับในฤดูหนาว"]),
        ("对。", []),
        ("Yes it is.", []),
    ],
)
def test_scripts_without_spaces_have_words_too(text: str, expected: list[str]) -> None:
    assert sentences(text, "unicode") == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_sentences(language: str) -> None:
    assert sentences("Eins zwei drei vier. Fünf sechs sieben acht.", language) == [
        "Eins zwei drei vier.",
        "Fünf sechs sieben acht.",
    ]


TEXT = st.lists(
    st.sampled_from(["The bees sleep in winter. ", "Dr. Smith (e.g. him) said so!\n", "\r\n\r\n", "  ", "Ist es so? ",
                     "日本語。", "🎉 party time is now here. ", "A\u2028B c d e. ", "\t1. an item of five words\n",
                     "\u00a0"])
).map("".join)  # fmt: skip


@given(st.one_of(TEXT, st.text(max_size=200)), st.integers(0, 50), st.sampled_from(LANGUAGES))
def test_spans_are_whole_slices_in_order(text: str, start: int, language: str) -> None:
    document = "x" * start + text
    spans = spans_of(text, start, language)
    assert all(document[first:end].strip() == document[first:end] for first, end in spans)
    assert all(start <= first < end <= len(document) for first, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
