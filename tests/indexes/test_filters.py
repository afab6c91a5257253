import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexes import filters
from indexes.errors import InvalidFilterError
from indexes.filters import Comparison, Compound, matches, matches_singly, parse_filter, to_json

EQ = {"type": "eq", "key": "k", "value": 1}
SURROGATE = "a\ud800"


def comparison(type_: str, value: object, key: str = "k") -> dict[str, object]:
    return {"type": type_, "key": key, "value": value}


def nested(levels: int) -> dict[str, Any]:
    filter_: dict[str, Any] = EQ
    for _ in range(levels - 1):
        filter_ = {"type": "and", "filters": [filter_]}
    return filter_


MATCHES = [
    ("eq", 1, 1, True),
    ("eq", 1, 1.0, True),
    ("eq", 0.0, -0.0, True),
    ("eq", 1, 2, False),
    ("eq", 1, "1", False),
    ("eq", 1, True, False),
    ("eq", True, 1, False),
    ("eq", False, 0.0, False),
    ("eq", True, True, True),
    ("eq", 2**53 + 1, float(2**53), False),
    ("eq", 2**70, float(2**70), True),
    ("eq", 2**70 + 1, 2**70, False),
    ("eq", "é", "é", True),
    ("eq", "é", "e\u0301", False),
    ("eq", "A", "a", False),
    ("eq", "a", ["b", "a"], True),
    ("eq", "a", ["b", ["a"]], False),
    ("eq", 1, [True, "1"], False),
    ("eq", "a", {"a": "a"}, False),
    ("eq", "", None, False),
    ("eq", 1, math.nan, False),
    ("ne", 1, 2, True),
    ("ne", 1, 1.0, False),
    ("ne", 1, True, True),
    ("ne", 1, None, True),
    ("ne", 1, {"k": 1}, True),
    ("ne", 1, [], True),
    ("ne", "a", ["b", "a"], False),
    ("ne", "a", ["b", None], True),
    ("gt", 1, 2, True),
    ("gt", 1, 1, False),
    ("gt", 1, 1.5, True),
    ("gt", 0, True, False),
    ("gt", 2**53, 2**53 + 1, True),
    ("gt", float(2**53), 2**53 + 1, True),
    ("gt", 1, "2", False),
    ("gt", "1", 2, False),
    ("gt", "a", "b", True),
    ("gt", "a", "Z", False),
    ("gt", "\uffff", "😀", True),
    ("gt", 1, math.inf, False),
    ("gt", 1e308, 10**400, True),
    ("gt", 5, [1, 9], True),
    ("gt", 5, [], False),
    ("gte", 1, 1.0, True),
    ("gte", "b", "a", False),
    ("lt", 1, -(2**70), True),
    ("lt", 1, 1, False),
    ("lte", 1, 1, True),
    ("lte", 1, 1.01, False),
    ("in", [1, "a"], "a", True),
    ("in", [1, "a"], 1.0, True),
    ("in", [1, "a"], True, False),
    ("in", [True, False], 0, False),
    ("in", ["a"], ["b", "a"], True),
    ("in", ["a"], None, False),
    ("nin", [1, "a"], "a", False),
    ("nin", [1, "a"], "b", True),
    ("nin", [1, "a"], True, True),
    ("nin", ["a"], ["b", "a"], False),
    ("nin", ["a"], None, True),
]


@pytest.mark.parametrize(("type_", "value", "stored", "expected"), MATCHES)
def test_what_a_comparison_matches(type_: str, value: object, stored: object, expected: bool) -> None:
    filter_ = parse_filter(comparison(type_, value))
    assert matches(filter_, {"k": stored}) is expected
    assert matches(filter_, {"other": stored}) is (type_ in {"ne", "nin"})


def test_compounds_want_all_or_any() -> None:
    a, b = comparison("eq", 1, "a"), comparison("ne", 1, "b")
    both, either = ({"type": type_, "filters": [a, b]} for type_ in ("and", "or"))
    assert [matches(parse_filter(both), {"a": x, "b": y}) for x, y in ((1, 2), (1, 1), (2, 2))] == [True, False, False]
    assert [matches(parse_filter(either), {"a": x, "b": y}) for x, y in ((1, 1), (2, 2), (2, 1))] == [True, True, False]
    assert matches(parse_filter({"type": "and", "filters": [either, {"type": "or", "filters": [a]}]}), {"a": 1})


@pytest.mark.parametrize(
    ("raw", "metadata", "singly"),
    [
        ({"type": "eq", "key": "t", "value": "a"}, {"t": "a"}, True),
        ({"type": "eq", "key": "t", "value": "a"}, {"t": ["a"]}, True),
        ({"type": "eq", "key": "t", "value": "a"}, {"t": ["a", "b"]}, False),
        ({"type": "eq", "key": "t", "value": "a"}, {"t": ["a", {"b": 1}]}, False),
        ({"type": "eq", "key": "t", "value": "a"}, {"t": []}, False),
        ({"type": "eq", "key": "t", "value": "a"}, {}, False),
        ({"type": "in", "key": "t", "value": ["a", "b"]}, {"t": ["a", "b"]}, True),
        ({"type": "in", "key": "t", "value": ["a", "b"]}, {"t": ["a", "c"]}, False),
        ({"type": "ne", "key": "t", "value": "a"}, {"t": ["b", "c"]}, True),
        ({"type": "ne", "key": "t", "value": "a"}, {"t": ["a", "c"]}, False),
        ({"type": "ne", "key": "t", "value": "a"}, {}, True),
    ],
)
def test_what_passes_by_every_single_value(raw: object, metadata: dict[str, object], singly: bool) -> None:
    filter_ = parse_filter(raw)
    assert matches_singly(filter_, metadata) is singly
    other = parse_filter({"type": "eq", "key": "shared", "value": True})
    both, either = Compound("and", (filter_, other)), Compound("or", (filter_, other))
    assert matches_singly(both, {**metadata, "shared": [True]}) is singly
    assert matches_singly(either, {**metadata, "shared": [True, False]}) is singly


def test_long_lists_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Counter[str]()
    passes = filters._passes

    def counting(comparison: Comparison, kind: filters.Kind, scalar: filters.Scalar) -> bool:
        looks[comparison.key] += 1
        return passes(comparison, kind, scalar)

    monkeypatch.setattr(filters, "_passes", counting)
    parts = [{"type": "eq", "key": key, "value": key} for key in ("a", "b")]
    filter_ = parse_filter({"type": "or", "filters": parts})
    assert not matches_singly(filter_, {"a": ["a", *[1] * 1500], "b": [*[0] * 1500, "b"]})
    assert looks == {"a": 1501, "b": 1501}


def test_filters_that_only_python_takes_for_equal_differ() -> None:
    one, true, float_one = (parse_filter(comparison("eq", value)) for value in (1, True, 1.0))
    assert one == float_one
    assert hash(one) == hash(float_one)
    assert one != true
    assert parse_filter(comparison("in", ["a", 0])) != parse_filter(comparison("in", ["a", False]))


REFUSED = [
    (None, "filter must be an object; got None"),
    ([EQ], "filter must be an object; got a list of 1"),
    ("eq", "filter must be an object; got 'eq'"),
    ({}, "type must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or; got nothing"),
    ({**EQ, "type": "like"}, "type must be one of .*; got 'like'"),
    ({**EQ, "type": "EQ"}, "type must be one of .*; got 'EQ'"),
    ({**EQ, "type": ["eq"]}, "type must be one of .*; got a list of 1"),
    ({"type": "eq", "value": 1}, "key is missing"),
    ({"type": "eq", "key": "k"}, "value is missing"),
    ({"type": "and"}, "filters is missing"),
    ({**EQ, "boost": 2}, "filter has a member besides type, key, value; got 'boost'"),
    ({"type": "and", "filters": [EQ], "key": "k"}, "filter has a member besides type, filters; got 'key'"),
    ({**EQ, "key": 7}, "key must be a string that is not empty; got 7"),
    ({**EQ, "key": ""}, "key must be a string that is not empty; got ''"),
    ({**EQ, "key": "k" * 257}, "key has 257 characters; the limit is 256; got 'k{80}...'"),
    ({**EQ, "key": SURROGATE}, "key has a lone surrogate at offset 1"),
    (comparison("eq", None), "value must be a string, a finite number or a boolean; got None"),
    (comparison("eq", [1]), "value must be a string, a finite number or a boolean; got a list of 1"),
    (comparison("ne", {"a": 1}), "value must be a string, a finite number or a boolean; got an object"),
    (comparison("eq", math.nan), "value must be .*; got nan"),
    (comparison("lt", -math.inf), "value must be .*; got -inf"),
    (comparison("eq", 1 << 1024), "value is an integer of 1025 bits; the limit is 1024"),
    (comparison("eq", -(10**5000)), "value is an integer of 16610 bits"),
    (comparison("eq", "x" * 4097), "value has 4097 characters; the limit is 4096"),
    (comparison("eq", SURROGATE), "value has a lone surrogate at offset 1"),
    *((comparison(type_, True), ".*booleans have no order; got True") for type_ in ("gt", "gte", "lt", "lte")),
    (comparison("gt", [1]), "value must be .*; got a list of 1"),
    (comparison("in", []), "value must be a list with at least one scalar; got a list of 0"),
    (comparison("in", "abc"), "value must be a list with at least one scalar; got 'abc'"),
    (comparison("nin", ["a", ["b"]]), r"value\[1\] must be a string, .*; got a list of 1"),
    (comparison("in", ["a", SURROGATE]), r"value\[1\] has a lone surrogate"),
    (comparison("in", list(range(1001))), "value has 1001 values; the limit is 1000"),
    ({"type": "and", "filters": []}, "filters must be a list with at least one filter; got a list of 0"),
    ({"type": "or", "filters": EQ}, "filters must be a list with at least one filter; got an object"),
    ({"type": "or", "filters": [EQ, 3]}, r"filters\[1\] must be an object; got 3"),
    (
        {"type": "or", "filters": [EQ, {"type": "and", "filters": [EQ, comparison("gt", None)]}]},
        r"filters\[1\]\.filters\[1\]\.value must be a string, a finite number or a boolean; got None",
    ),
    ({"type": "or", "filters": [EQ] * 256}, r"filters\[255\] is one node too many: the limit is 256"),
    (nested(17), r"(filters\[0\]\.){15}filters\[0\] lies 17 levels deep; the limit is 16"),
    (nested(5000), ".*lies 17 levels deep"),
]


@pytest.mark.parametrize(("raw", "said"), REFUSED)
def test_a_bad_filter_is_refused_with_path_rule_and_value(raw: object, said: str) -> None:
    with pytest.raises(InvalidFilterError, match=f"^{said}") as refused:
        parse_filter(raw)
    assert len(str(refused.value)) < 400
    str(refused.value).encode()
    assert str(refused.value).startswith(f"{refused.value.path} {refused.value.rule}")


def test_a_filter_at_every_limit_is_taken() -> None:
    largest = comparison("in", ["x" * 4096, *range(999)], "k" * 256)
    assert isinstance(parse_filter(largest), Comparison)
    assert isinstance(parse_filter({"type": "or", "filters": [EQ] * 255}), Compound)
    assert isinstance(parse_filter(comparison("eq", (1 << 1024) - 1)), Comparison)
    assert isinstance(parse_filter(nested(filters.MAX_DEPTH)), Compound)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
TYPES = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or", "not"])
# Nearly a filter: so that what is wrong with it lies deep as often as at the top.
NEARLY = st.recursive(
    JSON | st.fixed_dictionaries({"type": TYPES, "key": st.text(max_size=3) | JSON, "value": JSON}),
    lambda inner: st.fixed_dictionaries(
        {"type": TYPES | JSON, "filters": st.lists(inner, max_size=3) | JSON}, optional={"key": JSON}
    ),
    max_leaves=6,
)


@given(NEARLY)
@example(comparison("in", [1, True, -0.0, 2**70, "é"]))
def test_whatever_comes_is_refused_or_comes_back_from_json(raw: object) -> None:
    try:
        filter_ = parse_filter(raw)
    except InvalidFilterError as error:
        assert str(error).encode()
    else:
        assert parse_filter(json.loads(json.dumps(to_json(filter_)))) == filter_
        assert to_json(filter_) == raw
        matches(filter_, {"k": 1})
