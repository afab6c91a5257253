"""Filters in Milvus' language, held to ``filters.matches``; no value and no key stands in them."""

import re
import sys
from collections.abc import Mapping
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import RowTooLargeError
from indexes.filters import matches, parse_filter
from indexes.milvus_filter import Expression, expression, ranges_of, tokens_of
from indexes.milvus_row import Filtered

# What of Milvus' language may stand in an expression at all.
ALPHABET = re.compile(
    r'(?:\(|\)| and | or |\(not |array_contains_any\(held, \[("[0-9a-f]{24}"(?:, )?)+\]\)'
    r'|ranges\["[0-9a-f]{20}[ns][lg]"\] [<>]=? (?:"[0-9a-f]*"|-?[0-9.]+(?:e[+-]?[0-9]+)?))+'
)


class Absent(dict[str, Any]):
    """Ranges in which a comparison with what is missing fails, as in Milvus."""

    def __missing__(self, key: str) -> "Absent":
        return self

    def _fails(self, _: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _fails


def passes(expression: Expression, metadata: Mapping[str, Any]) -> bool:
    """The expression, which is Python too."""
    stored = orjson.loads(orjson.dumps(metadata))
    held = set(tokens_of(stored))
    names = {"held": held, "ranges": Absent(ranges_of(stored)), "array_contains_any": lambda a, b: bool(a & set(b))}
    return bool(eval(expression.text, {"__builtins__": {}}, names))  # noqa: S307  its alphabet is asserted


INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=6) | st.sampled_from(["", "a" * 31, "a" * 32, "a" * 33, "ä" * 16, "ä" * 17, 'a" or true', "é"])
SCALARS = st.booleans() | st.sampled_from([0, 1, 1.0, 2, "1", "true", True]) | INTEGERS | FLOATS | TEXTS
KEYS = st.sampled_from(["a", "b", 'k"] or true', "ß", "a.b"])
VALUES = SCALARS | st.none() | st.lists(SCALARS | st.none(), max_size=4) | st.just({"nested": 1})
METADATA = st.dictionaries(KEYS, VALUES, max_size=4)
ORDERED = INTEGERS | FLOATS | TEXTS | st.sampled_from([10**300, -(10**300), 2**1023])
LEAVES = (
    st.fixed_dictionaries({"type": st.sampled_from(["eq", "ne"]), "key": KEYS, "value": SCALARS})
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["in", "nin"]), "key": KEYS, "value": st.lists(SCALARS, min_size=1, max_size=4)}
    )
    | st.fixed_dictionaries({"type": st.sampled_from(["gt", "gte", "lt", "lte"]), "key": KEYS, "value": ORDERED})
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(parts, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)


@given(raw=FILTERS, metadata=METADATA)
def test_it_keeps_back_nothing_that_passes_and_where_it_is_exact_lets_nothing_else_through(
    raw: dict[str, Any], metadata: dict[str, Any]
) -> None:
    filter_ = parse_filter(raw)
    made = expression(filter_)
    assert ALPHABET.fullmatch(made.text), made.text
    truth = matches(filter_, orjson.loads(orjson.dumps(metadata)))
    assert passes(made, metadata) or not truth
    assert passes(made, metadata) == truth or not made.is_exact


# Neighbours that a double, or the first bytes, do not tell apart; and some that they do.
NEAR: list[list[Any]] = [
    [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, float(2**53)],
    [-(2**53) - 2, -(2**53) - 1, -(2**53), -(2**53) + 1],
    [2**63 - 1, 2**63, float(2**63), 2**63 + 1],
    ["a" * 30, "a" * 31, "a" * 32, "a" * 33, "a" * 34, "a" * 31 + "b", "a" * 32 + "b"],
    ["ä" * 15, "ä" * 16, "ä" * 17, "ä" * 16 + "a", "ä" * 15 + "\U0001f600"],
]


@pytest.mark.parametrize("near", NEAR, ids=lambda near: str(near[0])[:8])
@pytest.mark.parametrize("order", ["gt", "gte", "lt", "lte"])
def test_orders_near_their_bound(near: list[Any], order: str) -> None:
    for bound, value in product(near, near):
        filter_ = parse_filter({"type": order, "key": "a", "value": bound})
        made, metadata = expression(filter_), {"a": [value, value]}
        truth = matches(filter_, metadata)
        assert passes(made, metadata) or not truth, (order, bound, value)
        assert passes(made, metadata) == truth or not made.is_exact, (order, bound, value)


FAR: list[Any] = [10**300, -(10**300), 2**1023, -(2**1023), sys.float_info.max, 2**1024 - 1, -(2**1024) + 1]


@pytest.mark.parametrize("bound", FAR, ids=range(len(FAR)))
@pytest.mark.parametrize("order", ["gt", "gte", "lt", "lte"])
def test_orders_far_out(bound: float, order: str) -> None:
    filter_ = parse_filter({"type": order, "key": "a", "value": bound})
    for value in (0, -1e308, 1e308, sys.float_info.max, -sys.float_info.max):
        assert passes(expression(filter_), {"a": value}) or not matches(filter_, {"a": value}), (order, bound, value)


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (1, "1", False),
        (0, -0.0, True),
        (2**63, float(2**63), True),
        ("\u00e9", "e\u0301", False),
    ],
)
def test_values_are_equal_as_filters_say(one: Any, other: Any, are_equal: bool) -> None:  # noqa: ANN401
    assert (tokens_of({"k": one}) == tokens_of({"k": other})) is are_equal


def test_a_key_does_not_run_into_its_value() -> None:
    assert (
        len({*tokens_of({"ab": "c"}), *tokens_of({"a": "bc"}), *tokens_of({"a": "b:c"}), *tokens_of({"a:b": "c"})}) == 4
    )


def test_the_common_filters_are_exact() -> None:
    for value in (2020, 20.5, -3, "de", "b" * 31):
        assert expression(parse_filter({"type": "gte", "key": "k", "value": value})).is_exact
    assert not expression(parse_filter({"type": "gte", "key": "k", "value": "b" * 40})).is_exact


def test_more_than_milvus_takes_is_refused_with_the_limit() -> None:
    with pytest.raises(RowTooLargeError, match=r"4097 values in its metadata; .* the limit is 4096"):
        Filtered.of("doc", {"tags": list(range(4097))})
    with pytest.raises(RowTooLargeError, match="bytes of ranges of its metadata"):
        Filtered.of("doc", {f"key {number}": "x" * 40 for number in range(600)})
