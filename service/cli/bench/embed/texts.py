"""Short and long texts to measure with: from files, or made up."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

_SHORTEST_CHUNK, _LONGEST_CHUNK = 60, 180
_SEED = 7
_SYLLABLES = ("ka", "re", "mo", "ti", "su", "lan", "ver", "qui", "dor", "pel", "ma", "sen", "to", "fi", "gra", "ne")


@dataclass(frozen=True, slots=True)
class BenchTexts:
    """What is embedded.

    Attributes:
        short: questions.
        long: chunks of 60 to 180 words.
    """

    short: list[str]
    long: list[str]

    @classmethod
    def read(cls, corpus: Path, queries: Path) -> "BenchTexts":
        """From JSONL of {text}; long texts are cut into chunks."""
        chunks = [chunk for text in _texts(corpus) for chunk in _chunks(text.split())]
        return cls(list(dict.fromkeys(_texts(queries))), chunks)

    @classmethod
    def made_up(cls, count: int = 1024) -> "BenchTexts":
        """``count`` of each kind, nonsense of the same lengths, always the same."""
        rng = random.Random(_SEED)  # noqa: S311  nothing secret
        short = [_nonsense(rng, rng.randint(6, 12)) for _ in range(count)]
        return cls(short, [_nonsense(rng, rng.randint(_SHORTEST_CHUNK, _LONGEST_CHUNK)) for _ in range(count)])


def _texts(path: Path) -> Iterator[str]:
    for line in path.read_bytes().splitlines():
        if line.strip() and (text := str(orjson.loads(line)["text"]).strip()):
            yield text


def _chunks(words: list[str]) -> Iterator[str]:
    """Consecutive pieces whose lengths go up and down between the shortest and the longest."""
    length = _SHORTEST_CHUNK
    while len(words) >= _SHORTEST_CHUNK:
        yield " ".join(words[:length])
        words = words[length:]
        length = _SHORTEST_CHUNK + (length * 7 + 13) % (_LONGEST_CHUNK - _SHORTEST_CHUNK)


def _nonsense(rng: random.Random, words: int) -> str:
    return " ".join("".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(words))
