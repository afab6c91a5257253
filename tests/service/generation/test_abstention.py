"""The phrase that says there is no answer: told before any of it is shown, however it is split."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.generation.abstention import Abstention
from service.generation.prompt import NO_ANSWER

PHRASE = NO_ANSWER.rstrip(".")


def heard(pieces: Iterable[str]) -> tuple[str, bool]:
    """What was shown, and whether it abstained."""
    abstention = Abstention()
    shown = "".join(abstention.feed(piece) for piece in pieces)
    return shown + abstention.flush(), abstention.abstained


@pytest.mark.parametrize(
    "text",
    [
        NO_ANSWER,
        PHRASE,
        f" {NO_ANSWER}\n",
        f"**{NO_ANSWER}**",
        f"**{PHRASE}**.",
        f"> {NO_ANSWER}",
        f'"{NO_ANSWER}"',
        NO_ANSWER.upper(),
        NO_ANSWER.replace(" ", "\n"),
        f"{PHRASE}!",
        f"{PHRASE} [1].",
        f"{PHRASE} [1][2]",
        f"{NO_ANSWER} They only speak of bees [1].",
        f"{PHRASE}\n\nHowever, it is well known that ...",
    ],
)
def test_no_answer(text: str) -> None:
    assert heard([text]) == heard(text) == ("", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The documents",
        "The documents do not say",
        "The documents say that bees sleep [1].",
        f"{PHRASE} directly, but bees sleep [1].",
        f"{PHRASE}, but bees sleep [1].",
        f"{PHRASE}: bees",
        f"Bees sleep [1]. {NO_ANSWER}",
        f"I am sorry. {NO_ANSWER}",
        f"{PHRASE}s.",
        " " * 500 + NO_ANSWER,
    ],
)
def test_an_answer(text: str) -> None:
    assert heard([text]) == heard(text) == (text, False)


def test_an_answer_is_shown_as_soon_as_it_cannot_be_the_phrase() -> None:
    abstention = Abstention()
    assert [abstention.feed(piece) for piece in ["The ", "documents ", "do ", "say", " so"]] == [
        "", "", "", "The documents do say", " so",
    ]  # fmt: skip


def test_it_is_known_before_the_end() -> None:
    abstention = Abstention()
    abstention.feed(NO_ANSWER)
    assert abstention.abstained
    assert abstention.feed(" But still.") == ""


PIECES = st.one_of(
    st.sampled_from([NO_ANSWER, PHRASE, *PHRASE.split(), " ", "\n", ".", "**", "[1]", '"', "> ", ",", "but", "!"]),
    st.text(max_size=3),
    st.sampled_from([" " * 40, "\n" * 5, "[1, 2] " * 5]),
)


@given(st.lists(PIECES, max_size=12), st.data())
def test_however_it_is_split(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    split = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    shown, abstained = heard([text])
    assert heard(split) == heard(text) == (shown, abstained)
    assert shown == ("" if abstained else text)
