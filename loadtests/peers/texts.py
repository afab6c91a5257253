"""Texts that no cache has seen: every number gives another text, and the same number the same text to both servers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import orjson

from loadtests.peers.vocabulary import ACTIONS, LINKS, OPENINGS, QUALITIES, THINGS

_DIGITS = (OPENINGS, QUALITIES, THINGS, ACTIONS)
SYNTHETIC_TEXTS = len(OPENINGS) * len(QUALITIES) * len(THINGS) * len(ACTIONS)
# Coprime to SYNTHETIC_TEXTS, so that a multiple of the number is another number: neighbours share no words by rule.
_STRIDE = 611_953


class TextsExhaustedError(Exception):
    """The load needs more texts than there are; the message says how many there are."""


class UnreadableTextsError(Exception):
    """The file of texts is not JSONL of {text}; the message says where."""


class TextSource(Protocol):
    """Gives texts by number."""

    def text(self, number: int, words: tuple[int, int]) -> str:
        """The text of this number.

        Args:
            number: from 0; no two give the same text.
            words: fewest and most words, both included.

        Raises:
            TextsExhaustedError: there is no text of that number.
        """
        ...


@dataclass(frozen=True, slots=True)
class SyntheticTexts:
    """English-like sentences of a seeded generator.

    The first words are a numeral system with words for digits, in which a text spells its own number: texts differ by
    construction, with no memory of those given out.
    """

    seed: int

    def text(self, number: int, words: tuple[int, int]) -> str:
        """See TextSource; at least six words."""
        if number >= SYNTHETIC_TEXTS:
            raise TextsExhaustedError(f"the generator has {SYNTHETIC_TEXTS} texts: use fewer seconds or rounds")
        draw = random.Random(self.seed << 40 | number)  # noqa: S311  load, not secrets
        return " ".join(islice(_words(number, draw), draw.randint(*words)))


@dataclass(frozen=True, slots=True)
class FileTexts:
    """Consecutive pieces of the words of a file."""

    words: tuple[str, ...]
    seed: int

    @classmethod
    def read(cls, path: Path, seed: int) -> "FileTexts":
        """Of a JSONL file of {text}.

        Raises:
            UnreadableTextsError: it is not that.
        """
        try:
            texts = [str(orjson.loads(line)["text"]) for line in path.read_bytes().splitlines() if line.strip()]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableTextsError(f"{path} is not JSONL of {{text}}: {error!r}") from None
        random.Random(seed).shuffle(texts)  # noqa: S311  load, not secrets
        return cls(tuple(word for text in texts for word in text.split()), seed)

    def text(self, number: int, words: tuple[int, int]) -> str:
        """See TextSource. The number is its last word, so that what the file repeats is no repeat in the load."""
        fewest, most = words
        first = number * most
        if first + most > len(self.words):
            raise TextsExhaustedError(
                f"the file of texts has {len(self.words)} words, {len(self.words) // most} texts of up to {most}: "
                "use a larger one, or fewer seconds or rounds"
            )
        length = random.Random(self.seed << 40 | number).randint(fewest, most)  # noqa: S311  load, not secrets
        return " ".join((*self.words[first : first + length - 1], str(number)))


def text_source(path: Path | None, seed: int) -> TextSource:
    """Synthetic texts, or those of a file."""
    return SyntheticTexts(seed) if path is None else FileTexts.read(path, seed)


def _words(number: int, draw: random.Random) -> Iterator[str]:
    number = number * _STRIDE % SYNTHETIC_TEXTS
    for digits in _DIGITS:
        number, digit = divmod(number, len(digits))
        yield from digits[digit].split()
    while True:
        yield from draw.choice(LINKS).split()
        yield draw.choice(QUALITIES)
        yield draw.choice(THINGS)
        yield draw.choice(ACTIONS)
