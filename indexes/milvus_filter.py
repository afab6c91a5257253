"""Filters as Milvus is told them: nothing that a user wrote stands in an expression.

What a document holds is sent as tokens, so that equality is exact for every kind of value, and as the least and
greatest that it holds under each key, for the four of order. These are rounded outwards: an expression may let through
what fails the filter, and never keeps back what passes it. ``filters.matches`` has the last word on every candidate.
"""

import hashlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexes.filters import Comparison, Compound, Filter, Kind, Scalar, held

# Names of fields in Milvus.
HELD, RANGES = "held", "ranges"

TOKEN_CHARACTERS = 24
_KEY_BYTES = 10
# Of a string's UTF-8, as hexadecimal digits; shorter strings are told apart exactly.
_PREFIX_BYTES = 32
# From here on not every integer has a double.
_EXACT = 2.0**53
_LARGEST = sys.float_info.max
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition in Milvus' language.

    Attributes:
        is_exact: what passes it passes the filter, if Milvus is right.
    """

    text: str
    is_exact: bool


def tokens_of(metadata: Mapping[str, Any]) -> list[str]:
    """One for each key and scalar that a document holds, sorted."""
    return sorted({_token(key, *pair) for key in metadata for pair in held(metadata, key)})


def ranges_of(metadata: Mapping[str, Any]) -> dict[str, float | str]:
    """The least and the greatest number and string under each key, rounded outwards."""
    ranges: dict[str, float | str] = {}
    for key in metadata:
        numbers: list[Any] = [value for kind, value in held(metadata, key) if kind == "number"]
        strings: list[Any] = [value for kind, value in held(metadata, key) if kind == "string"]
        if numbers:
            ranges |= {_place(key, "nl"): _rounded_down(min(numbers)), _place(key, "ng"): _rounded_up(max(numbers))}
        if strings:
            ranges |= {_place(key, "sl"): _prefix(min(strings)), _place(key, "sg"): _prefix(max(strings))}
    return ranges


def expression(filter: Filter) -> Expression:
    """What lets every document through that passes."""
    if isinstance(filter, Compound):
        parts = [expression(part) for part in filter.filters]
        text = f" {filter.type} ".join(part.text for part in parts)
        return Expression(f"({text})", all(part.is_exact for part in parts))
    if filter.type in _OPERATORS:
        return _order(filter)
    tokens = [_token(filter.key, *pair) for pair in zip(filter.kinds, filter.values, strict=True)]
    listed = ", ".join(f'"{token}"' for token in dict.fromkeys(tokens))
    text = f"array_contains_any({HELD}, [{listed}])"
    return Expression(f"(not {text})" if filter.is_negated else text, is_exact=True)


def _order(comparison: Comparison) -> Expression:
    """What is greater than a bound has its greatest, rounded up, above the bound rounded down; and so on."""
    (kind,), (bound,) = comparison.kinds, comparison.values
    is_greater = comparison.type in {"gt", "gte"}
    place = _place(comparison.key, ("s" if kind == "string" else "n") + ("g" if is_greater else "l"))
    sign = _OPERATORS[comparison.type]
    if isinstance(bound, str):
        is_short = len(bound.encode()) < _PREFIX_BYTES
        # Cut to the same length, what is greater than a long bound may equal it.
        literal, sign = f'"{_prefix(bound)}"', sign if is_short else f"{sign[0]}="
        return Expression(f'{RANGES}["{place}"] {sign} {literal}', is_short)
    rounded = _rounded_down(bound) if is_greater else _rounded_up(bound)
    if abs(rounded) == _LARGEST:  # beyond it bounds are no longer told apart
        sign = f"{sign[0]}="
    return Expression(f'{RANGES}["{place}"] {sign} {_literal(rounded)}', abs(rounded) < _EXACT and rounded == bound)


def _token(key: str, kind: Kind | None, value: Scalar) -> str:
    return hashlib.blake2b(
        f"{kind}:{len(key)}:{key}:{_exactly(value)}".encode("utf-8", "surrogatepass"), digest_size=TOKEN_CHARACTERS // 2
    ).hexdigest()


def _exactly(value: Scalar) -> str:
    """Equal texts for equal values of one kind, and for no others."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else value.hex()
    return str(value)


def _place(key: str, suffix: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).hexdigest() + suffix


def _prefix(text: str) -> str:
    return text.encode("utf-8", "surrogatepass")[:_PREFIX_BYTES].hex()


def _rounded_up(value: Any) -> float:  # noqa: ANN401  an int or a float
    return -_rounded_down(-value)


def _rounded_down(value: Any) -> float:  # noqa: ANN401  likewise
    try:
        rounded = float(value)
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST
    return max(-_LARGEST, math.nextafter(rounded, -math.inf)) if rounded > value else rounded


def _literal(number: float) -> str:
    """With a sign of its own, never as an integer: Milvus compares like with like."""
    return repr(float(number))
