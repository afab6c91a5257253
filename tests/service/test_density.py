"""How many values JSON has is known without parsing it."""

import json
import random

import pytest

from service import density
from service.density import SHORT_BYTES, counted, refuse_dense
from service.errors import InvalidRequestError

SEED = 20261123


def slowly_counted(text: str) -> tuple[int, int]:
    """Character by character."""
    values = containers = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
            continue
        in_string = character == '"'
        values += character == ","
        containers += character in "[{:"
    return values, containers


def some_json(rng: random.Random, depth: int = 0) -> object:
    kind = rng.choice(["text", "number", "list", "object"] if depth < 4 else ["text", "number"])
    match kind:
        case "text":
            return "".join(rng.choices('ab\\",[]{}:\n', k=rng.randrange(12)))
        case "number":
            return rng.randrange(1000)
        case "list":
            return [some_json(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {f"{i}\\" * rng.randrange(3): some_json(rng, depth + 1) for i in range(rng.randrange(5))}


@pytest.mark.parametrize("block", [1, 2, 7, 1 << 20])
def test_what_is_in_strings_does_not_count_wherever_the_text_is_cut(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(density, "_BLOCK_BYTES", block)
    rng = random.Random(SEED)  # noqa: S311
    for _ in range(100):
        text = json.dumps(some_json(rng))
        pieces = list(counted(text.encode()))
        assert tuple(map(sum, zip(*pieces, strict=True))) == slowly_counted(text), text


@pytest.mark.parametrize("piece", ["[]", "{}", '{"a":1}'])
def test_lists_and_objects_by_the_hundred_thousand_are_refused(piece: str) -> None:
    refuse_dense(_listed(piece, 40_000))
    with pytest.raises(InvalidRequestError, match="100000 lists"):
        refuse_dense(_listed(piece, 100_001))


def test_values_by_the_million_are_refused() -> None:
    refuse_dense(_listed("1", 1_000_000))
    with pytest.raises(InvalidRequestError, match="1000000 values"):
        refuse_dense(_listed("1", 1_000_001))


def test_a_text_may_hold_whatever_it_likes() -> None:
    text = json.dumps({"text": '[{"a":1},' * 500_000}).encode()
    assert len(text) > SHORT_BYTES
    refuse_dense(text)


def _listed(piece: str, count: int) -> bytes:
    return f"[{','.join([piece] * count)}]".encode()
