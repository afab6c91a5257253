import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.analysis import Analyzer, _Pipeline
from indexes.errors import UnknownLanguageError
from indexes.languages import LANGUAGES, STEMMERS, STOP_WORDS

ANY = Analyzer("unicode")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("snake_case and kebab-case", ["snake", "case", "and", "kebab", "case"]),
        ("don't", ["don", "t"]),
        ("ISO 8601: 3.14", ["iso", "8601", "3", "14"]),
        ("Crème BRÛLÉE Straße", ["creme", "brulee", "strasse"]),
        ("cafe\u0301 caf\u00e9", ["cafe", "cafe"]),  # composed and not
        ("ﬁne \uff46\uff55\uff4c\uff4c ²", ["fine", "full", "2"]),  # compatibility forms
        ("Ёлка ёлка", ["елка", "елка"]),
        ("Ελλάδα", ["ελλαδα"]),
        ("שָׁלוֹם", ["שלום"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # marks that are letters stay
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("がある", ["が", "あ", "る"]),
        ("한국어", ["한", "국", "어"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        ("GPU上の検索", ["gpu", "上", "の", "検", "索"]),
        ("\x00 \ud800 !?", []),
        ("x" * 300, []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_digits_and_marks(text: str, words: list[str]) -> None:
    assert list(ANY.words(text.encode(errors="ignore").decode())) == words


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_the_fast_way_for_ascii_gives_the_same_words(text: str) -> None:
    for analyzer in (ANY, Analyzer("en")):
        slow = analyzer.words(f"{text} é")
        assert [*analyzer.words(text), "e"] == list(slow)


@settings(deadline=None)
@given(st.text())
def test_no_word_has_white_space_or_is_empty(text: str) -> None:
    assert all(word and word.split() == [word] for word in ANY.words(text))


def test_a_language_brings_words_to_their_stems_and_leaves_out_its_stop_words() -> None:
    english = Analyzer("en")
    assert list(english.words("The cats were running to the houses")) == [
        "the", "cat", "were", "run", "to", "the", "hous",
    ]  # fmt: skip
    assert list(english.terms("The cats are running to the houses")) == ["cat", "run", "hous"]
    assert list(ANY.terms("The cats")) == ["the", "cats"]


def test_accents_go_after_the_stemmer_which_knows_them() -> None:
    assert Analyzer("de").words("Häuser") == Analyzer("de").words("Haus")
    assert Analyzer("ru").words("новый") == Analyzer("ru").words("новая")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_can_be_read(language: str) -> None:
    assert Analyzer(language).words("1984")
    assert set(STOP_WORDS) < set(STEMMERS)


@pytest.mark.parametrize("language", ["", "EN", "english", "xx", "unicode "])
def test_any_other_language_is_refused(language: str) -> None:
    with pytest.raises(UnknownLanguageError, match="is no language of a collection; there are unicode, ar, da, de"):
        Analyzer(language)


def test_a_text_that_tantivy_fails_at_has_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, text: str) -> None:
        raise ValueError(text)

    monkeypatch.setattr(_Pipeline, "_of", fail)
    assert (Analyzer("en").words("The cats"), Analyzer("en").terms("The cats")) == ((), ())
