"""How texts are read to be matched."""

from hypothesis import given
from hypothesis import strategies as st

from service.content.folding import fold, folded

ANY = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(ANY, ANY)
def test_a_text_folds_alike_however_it_is_split(one: str, other: str) -> None:
    first, second, whole = folded(one), folded(other), folded(one + other)
    assert whole.text == first.text + second.text
    assert list(whole.sources) == [*first.sources, *(len(one) + source for source in second.sources)]


@given(ANY)
def test_every_character_knows_where_it_came_from(text: str) -> None:
    read = folded(text)
    assert len(read.text) == len(read.sources)
    assert list(read.sources) == sorted(read.sources)
    assert all(character in fold(text[source]) for character, source in zip(read.text, read.sources, strict=True))
    read.text.encode()  # RE2 takes UTF-8


@given(st.characters(exclude_categories=[]))
def test_what_is_folded_stays_so(character: str) -> None:
    assert folded(fold(character)).text == fold(character)


def test_what_is_folded_to_what() -> None:
    assert folded("\uff21\u200b\u0664\u2014\u00a0\ufb01\u2028\x00\ue0001x\u2800\t").text == "A4- fi\n\ue0001x \t"
