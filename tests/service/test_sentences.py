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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The shell returns a status of\n127. If it is not executable, the status is 126.",
         ["The shell returns a status of\n127.", "If it is not executable, the status is 126."]),
        ("The payment is due within\n30. After that interest is charged",
         ["The payment is due within\n30.", "After that interest is charged"]),
        ("It is due within the first\n12. months of the year", ["It is due within the first\n12. months of the year"]),
        ("The coldest that was seen\n- 5 degrees in all was wrong.",
         ["The coldest that was seen\n- 5 degrees in all was wrong."]),
        ("The coldest that was seen:\n-  5 degrees in all.",
         ["The coldest that was seen:", "-  5 degrees in all."]),
        ("It is found in the folder\n    127. If it is not there",
         ["It is found in the folder\n    127.", "If it is not there"]),
        ("- 5 degrees is the coldest. -k is an option here.", ["- 5 degrees is the coldest.", "-k is an option here."]),
        ("_start is where it begins. __init__ is called after it.",
         ["_start is where it begins.", "__init__ is called after it."]),
        ("__init__ and *args are read. **The rest** is not read.",
         ["__init__ and *args are read.", "The rest** is not read."]),
        ("It all takes approx. 30. After that it ends.", ["It all takes approx.", "30. After that it ends."]),
        ("Nothing is said of the year 30. 12.", ["Nothing is said of the year 30. 12."]),
    ],
)  # fmt: skip
def test_nothing_is_lost_of_a_line_that_only_looks_like_an_item(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do this:\n1. Open the hive very slowly\n2. Take out all the honey",
         ["1. Open the hive very slowly", "2. Take out all the honey"]),
        ("What has to be done\n- Open the hive very slowly\n- Take out all the honey",
         ["What has to be done", "Open the hive very slowly", "Take out all the honey"]),
        ("So it is done here.\n7) Open the hive very slowly", ["So it is done here.", "7) Open the hive very slowly"]),
        ("This is a listing:\n    one two three four\n    five six seven eight",
         ["This is a listing:", "one two three four", "five six seven eight"]),
    ],
)  # fmt: skip
def test_items_of_a_list_stand_alone(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It is written to a file called .RData in the current directory.",
        "All of it is written to a file called\n.RData in the current directory.",
        "Put the lines into (.Rprofile or else .Renviron) and wait.",
    ],
)
def test_a_name_with_a_full_stop_before_it_ends_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "PPID . . . . . . 87 PROMPT_COMMAND . . . . . 87",
        "Old-style . . . . 89 Clear 89 Continue 89",
        "How the honey bees sleep........ 12",
        "How the honey bees sleep …… 12",
    ],
)
def test_lines_of_a_table_of_contents_are_none(text: str) -> None:
    assert sentences(text) == []


@pytest.mark.parametrize("end", ["(of the hive).", '"of the hive".', "[of the hive].", "of the hive ."])
def test_the_last_sentence_is_one_by_itself(end: str) -> None:
    assert sentences(f"The bees all sleep. They sleep inside {end}") == [
        "The bees all sleep.",
        f"They sleep inside {end}",
    ]


def test_an_ellipsis_is_no_leader() -> None:
    text = "They slept ... 5 of them, as it seems. And then . . . nothing more was heard."
    assert len(sentences(text)) == 2
