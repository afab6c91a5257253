"""Steps of preprocessing: what each does, and that the whole is stable."""

import unicodedata
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.preprocessing import UnicodeForm, prepared

FORMS: tuple[UnicodeForm, ...] = get_args(UnicodeForm)
# What the steps are about, with letters that join, compose and carry marks between it.
TRICKY = (
    "\u200b\u200c\u200d\u200e\u202e\u2066\u00ad\ufeff\x00\x1b\x85\t\n\u00a0\u3000 aeA\u0301\u0327\u00e9\uff21\u00b2"
)
TRICKY += "\u0645\u06cc\u064b\u0654\u0627\u0660\u0915\u094d\u093c\u0951\u1100\u1161\u11a8\u034f\U000e0041\U0001f469"
TEXTS = st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=40)


@pytest.mark.parametrize(
    ("text", "expected", "steps"),
    [
        ("when is the audit?", "when is the audit?", []),
        ("cafe\u0301", "caf\u00e9", ["unicode"]),
        ("x\u00b2 \u00bd \uff21", "x\u00b2 \u00bd \uff21", []),
        ("au\u00addit\u200b \ufefftoday\x00", "audit today", ["invisible"]),
        ("e\u200b\u0301", "\u00e9", ["invisible"]),
        ("\u202eaudit\u2069 now\U000e0061\U000e007f", "audit now", ["invisible"]),
        ("  when\r\n\tis\u00a0\u3000it ", "when is it", ["whitespace"]),
        ("a\u200cb\u200dc", "abc", ["invisible"]),
        ("\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u200c\u0631\u0648\u0645", []),
        ("\u0915\u094d\u200d\u0937 \u0915\u200d", "\u0915\u094d\u200d\u0937 \u0915", ["invisible"]),
        ("\u0660\u0600\u0661", "\u0660\u0600\u0661", []),
        (" \u200b\x00\n\u00ad ", "", ["invisible", "whitespace"]),
    ],
)
def test_steps(text: str, expected: str, steps: list[str]) -> None:
    done = prepared(text)
    assert (done.text, [change.step for change in done.changes]) == (expected, steps)
    if steps:
        assert (done.changes[0].before, done.changes[-1].text, done.changes[-1].after) == (
            len(text), expected, len(expected),
        )  # fmt: skip


def test_nfkc_is_for_those_who_ask_for_it() -> None:
    assert prepared("x\u00b2 \uff21\ufb01", "NFKC").text == "x2 Afi"


@given(TEXTS, st.sampled_from(FORMS))
@example("\u0915\u0951\u200b\u094d\u200d", "NFC")
@example("\u0627\u0654\u200c\u0627", "NFC")
def test_preparing_twice_is_preparing_once(text: str, form: UnicodeForm) -> None:
    once = prepared(text, form)
    again = prepared(once.text, form)
    assert (again.text, again.changes) == (once.text, [])


@given(TEXTS, st.sampled_from(FORMS))
def test_canonically_equivalent_texts_become_one(text: str, form: UnicodeForm) -> None:
    done = prepared(text, form).text
    assert prepared(unicodedata.normalize("NFD", text), form).text == done
    assert prepared(unicodedata.normalize("NFC", text), form).text == done


@given(st.text(st.characters(categories=["L", "N"], exclude_characters=TRICKY, max_codepoint=0x24F), max_size=20))
def test_zero_width_characters_change_nothing(text: str) -> None:
    assert prepared("\u200b".join(f"\u200d{text}\u200c")).text == prepared(text).text


@given(TEXTS)
def test_words_stay(text: str) -> None:
    seen = [character for character in unicodedata.normalize("NFC", text) if unicodedata.category(character)[0] in "LN"]
    done = prepared(text).text
    assert [
        character for character in unicodedata.normalize("NFD", done) if unicodedata.category(character)[0] in "LN"
    ] == [
        character
        for character in unicodedata.normalize("NFD", "".join(seen))
        if unicodedata.category(character)[0] in "LN"
    ]
