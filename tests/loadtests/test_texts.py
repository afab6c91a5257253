import json
from math import gcd
from pathlib import Path

import pytest

from loadtests.peers.texts import (
    _STRIDE,
    SYNTHETIC_TEXTS,
    FileTexts,
    SyntheticTexts,
    TextsExhaustedError,
    UnreadableTextsError,
    text_source,
)


def _jsonl(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_no_two_synthetic_texts_are_equal_even_at_their_shortest() -> None:
    source = SyntheticTexts(seed=7)
    texts = {source.text(number, (6, 6)) for number in range(20_000)}
    assert len(texts) == 20_000
    assert gcd(_STRIDE, SYNTHETIC_TEXTS) == 1


@pytest.mark.parametrize("words", [(6, 12), (60, 180)])
def test_synthetic_texts_have_every_length_asked_for_and_no_other(words: tuple[int, int]) -> None:
    source = SyntheticTexts(seed=7)
    lengths = {len(source.text(number, words).split()) for number in range(3_000)}
    assert lengths == set(range(words[0], words[1] + 1))


def test_a_number_and_a_seed_name_one_text() -> None:
    assert SyntheticTexts(7).text(41, (60, 180)) == SyntheticTexts(7).text(41, (60, 180))
    assert SyntheticTexts(7).text(41, (60, 180)) != SyntheticTexts(8).text(41, (60, 180))


def test_synthetic_texts_end_before_they_repeat() -> None:
    with pytest.raises(TextsExhaustedError, match=str(SYNTHETIC_TEXTS)):
        SyntheticTexts(7).text(SYNTHETIC_TEXTS, (6, 12))


def test_a_file_that_repeats_itself_still_gives_distinct_texts(tmp_path: Path) -> None:
    source = FileTexts.read(_jsonl(tmp_path / "texts.jsonl", *["the same few words"] * 300), seed=7)
    texts = [source.text(number, (6, 12)) for number in range(100)]
    assert len(set(texts)) == 100
    assert {len(text.split()) for text in texts} <= set(range(6, 13))


def test_a_file_that_is_too_small_says_how_small(tmp_path: Path) -> None:
    source = FileTexts.read(_jsonl(tmp_path / "texts.jsonl", "only these five words here"), seed=7)
    with pytest.raises(TextsExhaustedError, match="5 words, 0 texts of up to 12"):
        source.text(0, (6, 12))


@pytest.mark.parametrize("content", ["no json\n", '{"title": "no text"}\n', "[1]\n"])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content)
    with pytest.raises(UnreadableTextsError, match=r"texts\.jsonl is not JSONL"):
        text_source(path, seed=7)
