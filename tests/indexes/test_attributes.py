import math
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import column
from indexes.attributes import Attributes
from indexes.filters import Filter, matches, parse_filter

Metadata = dict[str, Any]

# Few values, and among them those that are easily taken for one another.
NEIGHBOURS = [True, False, 0, 1, 1.0, -0.0, 0.5, -1, 2**53, 2**53 + 1, float(2**53), 2**70, float(2**70), -(10**200)]
TEXTS = ["", "1", "a", "b", "true", "é", "e\u0301", "\uffff", "😀", "\0"]
SCALARS = st.sampled_from([*NEIGHBOURS, *TEXTS]) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
ORDERED = SCALARS.filter(lambda value: not isinstance(value, bool))
NOT_SCALARS = st.sampled_from([None, math.nan, math.inf, {"k": 1}, ["a"], [], 10**400])
KEYS = st.sampled_from(["k", "é", "other"])
VALUES = SCALARS | NOT_SCALARS | st.lists(SCALARS | NOT_SCALARS, max_size=4)
DOCUMENTS = st.lists(st.dictionaries(KEYS, VALUES), max_size=30)


def comparisons(types: Sequence[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.sampled_from(types), "key": KEYS, "value": values})


FILTERS = st.recursive(
    comparisons(["eq", "ne"], SCALARS)
    | comparisons(["gt", "gte", "lt", "lte"], ORDERED)
    | comparisons(["in", "nin"], st.lists(SCALARS, min_size=1, max_size=5)),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=5,
).map(parse_filter)


def expected(filter_: Filter, documents: Sequence[Metadata]) -> list[bool]:
    return [matches(filter_, metadata) for metadata in documents]


def filled(documents: Sequence[Metadata]) -> Attributes:
    attributes = Attributes()
    for metadata in documents:
        attributes.append(metadata)
    return attributes


def small(few_entries: int, few_values: int) -> Any:  # noqa: ANN401  a patcher
    """Limits small enough that few documents meet the code for many."""
    return mock.patch.multiple(column, _FEW_ENTRIES=few_entries, _FEW_VALUES=few_values)


@settings(max_examples=300)
@given(st.lists(DOCUMENTS, max_size=3), st.lists(FILTERS, min_size=1, max_size=4), st.data())
def test_bitmaps_say_what_the_exact_twin_says(
    blocks: list[list[Metadata]], filters: list[Filter], data: st.DataObject
) -> None:
    attributes, documents = Attributes(), []
    with small(data.draw(st.sampled_from([0, 5, 1000])), data.draw(st.sampled_from([0, 2, 1000]))):
        for block in [[], *blocks]:
            for metadata in block:
                assert attributes.append(metadata) == len(documents)
                documents.append(metadata)
            for filter_ in filters:
                size = data.draw(st.integers(0, len(documents)))
                wanted = expected(filter_, documents)
                assert attributes.mask(filter_, size).tolist() == wanted[:size]
                assert list(attributes.select(filter_)) == [i for i, passes in enumerate(wanted) if passes]
                assert attributes.mask(filter_, len(documents)).tolist() == wanted


@pytest.mark.parametrize("type_", ["gt", "gte", "lt", "lte"])
def test_ranges_over_many_distinct_numbers(type_: str) -> None:
    rng = random.Random(3)  # noqa: S311
    documents = [{"n": rng.choice([i, i / 7, -i, [i, 2**60 + i]])} for i in range(4000)]
    attributes = filled(documents[:3000])
    for bound in (-5000, 0, 500, 500.5, 2**60 + 1500):
        filter_ = parse_filter({"type": type_, "key": "n", "value": bound})
        assert attributes.mask(filter_, 3000).tolist() == expected(filter_, documents[:3000])
    for metadata in documents[3000:]:
        attributes.append(metadata)
    assert attributes.mask(filter_, 4000).tolist() == expected(filter_, documents)


def test_sorted_columns_are_not_sorted_again_for_every_document() -> None:
    attributes = filled([{"n": i} for i in range(3000)])
    filter_ = parse_filter({"type": "lt", "key": "n", "value": 2000})
    with mock.patch.object(column.Sorted, "of", wraps=column.Sorted.of) as sort:
        for i in range(500):
            attributes.append({"n": i})
            attributes.select(filter_)
    assert sort.call_count == 1


def test_an_empty_set_of_attributes_selects_nothing() -> None:
    attributes = Attributes()
    for type_ in ("eq", "ne", "gt"):
        filter_ = parse_filter({"type": type_, "key": "k", "value": 1})
        assert len(attributes.select(filter_)) == 0
        assert attributes.mask(filter_, 0).shape == (0,)


def test_more_documents_than_there_are_cannot_be_asked_for() -> None:
    attributes = filled([{"k": 1}])
    filter_ = parse_filter({"type": "ne", "key": "k", "value": 2})
    with pytest.raises(ValueError, match="2 documents were asked for; there are 1"):
        attributes.mask(filter_, 2)
    with pytest.raises(ValueError, match="2 documents were asked for; there are 1"):
        attributes.select(filter_, 2)


def test_a_mask_is_kept_for_the_next_search_and_cannot_be_written_to() -> None:
    attributes = filled([{"k": i % 2} for i in range(10)])
    filter_ = parse_filter({"type": "eq", "key": "k", "value": 1})
    mask = attributes.mask(filter_, 10)
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True
    with mock.patch.object(attributes, "select", side_effect=AssertionError):
        assert np.shares_memory(attributes.mask(filter_, 10), mask)
        assert attributes.mask(filter_, 4).tolist() == mask[:4].tolist()
    attributes.append({"k": 1})
    assert attributes.mask(filter_, 11).tolist() == [*mask.tolist(), True]


def test_masks_of_filters_that_python_takes_for_equal_are_not_mixed_up() -> None:
    attributes = filled([{"k": 1}, {"k": True}])
    one, true = (parse_filter({"type": "eq", "key": "k", "value": value}) for value in (1, True))
    assert attributes.mask(one, 2).tolist() == [True, False]
    assert attributes.mask(true, 2).tolist() == [False, True]


def test_only_the_last_few_masks_are_kept() -> None:
    attributes = filled([{"k": i} for i in range(10)])
    masks = [attributes.mask(parse_filter({"type": "ne", "key": "k", "value": i}), 10) for i in range(10)]
    again = [attributes.mask(parse_filter({"type": "ne", "key": "k", "value": i}), 10) for i in (9, 0)]
    assert [np.shares_memory(again[0], masks[9]), np.shares_memory(again[1], masks[0])] == [True, False]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_readers_are_right_about_their_size_while_documents_are_appended() -> None:
    count = 3000
    documents = [{"a": i % 3, "b": [i % 7, "x"], "n": (i * 7919) % count, **{f"only{i}": i}} for i in range(count)]
    compounds = [
        {"type": "eq", "key": "a", "value": 1},
        {"type": "ne", "key": "a", "value": 1},
        {"type": "in", "key": "b", "value": [2, "x"]},
        {"type": "lt", "key": "n", "value": count // 2},
        {"type": "gte", "key": "n", "value": count - 40},
    ]
    filters = [parse_filter(raw) for raw in [*compounds, {"type": "or", "filters": compounds[3:]}]]
    wanted = [np.array(expected(filter_, documents)) for filter_ in filters]
    attributes, appended = Attributes(), threading.Event()

    def read(first: int) -> int:
        reads = 0
        while not appended.is_set() or reads < len(filters):
            for number in (first, reads % len(filters)):
                size = attributes.size
                mask = attributes.mask(filters[number], size)
                assert np.array_equal(mask, wanted[number][:size]), (filters[number], size)
            reads += 1
        return reads

    with ThreadPoolExecutor(4) as threads, small(50, 20):
        reading = [threads.submit(read, number) for number in range(4)]
        try:
            for metadata in documents:
                attributes.append(metadata)
        finally:
            appended.set()
        assert all(reader.result() for reader in reading)


def test_an_ordinal_is_not_given_twice_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = Attributes()
    with monkeypatch.context() as patched:
        add = column.Column.add

        def one_value_fits(self: column.Column, value: Any, ordinal: int) -> None:  # noqa: ANN401
            if value != 1:
                raise MemoryError
            add(self, value, ordinal)

        patched.setattr(column.Column, "add", one_value_fits)
        with pytest.raises(MemoryError):
            attributes.append({"secret": 1, "tenant": 2})
    assert attributes.append({"tenant": 3}) == 1
    wanted = parse_filter({"type": "eq", "key": "secret", "value": 1})
    assert attributes.mask(wanted, 2).tolist() == [True, False]
