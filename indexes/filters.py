"""Filters on the metadata of documents: OpenAI's grammar, checked once, and the exact rule of what a filter matches.

    {"type": "eq" | "ne" | "gt" | "gte" | "lt" | "lte", "key": "year", "value": 2020}
    {"type": "in" | "nin", "key": "lang", "value": ["de", "fr"]}
    {"type": "and" | "or", "filters": [...]}

A scalar is a string, a finite number or a boolean. Scalars of different kinds are never equal, so ``true`` is not 1;
numbers compare by their exact value, so 1 equals 1.0. Strings are ordered by code point, booleans have no order.

What a document holds under a key is its scalar there, or every scalar element of its list there. A key that is missing
and one with null, an object or an empty list hold nothing. eq, in and the four of order match when any scalar that is
held passes; ne and nin match exactly where eq and in do not.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeGuard, get_args

from indexes.errors import InvalidFilterError

Scalar: TypeAlias = str | int | float | bool
Kind = Literal["string", "number", "boolean"]
OrderType = Literal["gt", "gte", "lt", "lte"]
ComparisonType = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
CompoundType = Literal["and", "or"]

MAX_DEPTH = 16
MAX_NODES = 256
MAX_VALUES = 1000
MAX_KEY_CHARACTERS = 256
MAX_VALUE_CHARACTERS = 4096
# As far as finite floats go: beyond it a comparison with one says nothing new, and printing takes for ever.
MAX_INTEGER_BITS = 1024

ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}

_SHOWN_CHARACTERS = 80
_COMPARISON_TYPES: tuple[ComparisonType, ...] = get_args(ComparisonType)
_COMPOUND_TYPES: tuple[CompoundType, ...] = get_args(CompoundType)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a document must hold under one key; made by ``parse_filter``.

    Attributes:
        value: a tuple for in and nin, else one scalar.
        kinds: of each of ``values``: without them Python would take filters for true and for 1 as equal.
    """

    type: ComparisonType
    key: str
    value: Scalar | tuple[Scalar, ...]
    kinds: tuple[Kind | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(map(kind_of, self.values)))

    @property
    def values(self) -> tuple[Scalar, ...]:
        """What to compare with, one or several."""
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def is_negated(self) -> bool:
        """Matches where its opposite does not, so also where the key is missing."""
        return self.type in {"ne", "nin"}


@dataclass(frozen=True, slots=True)
class Compound:
    """All or any of some filters; made by ``parse_filter``."""

    type: CompoundType
    filters: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Compound


def kind_of(value: object) -> Kind | None:
    """What a value is compared as; None for what is no scalar."""
    match value:
        case str():
            return "string"
        case bool():
            return "boolean"
        case int():
            return "number"
        case float() if math.isfinite(value):
            return "number"
    return None


def held(metadata: Mapping[str, Any], key: str) -> Iterator[tuple[Kind, Scalar]]:
    """The scalars that a document holds under ``key``, each with its kind."""
    value = metadata.get(key)
    for element in value if isinstance(value, list | tuple) else (value,):
        kind = kind_of(element)
        if kind is not None:
            yield kind, element


def matches(filter: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes; the slow exact twin of ``Attributes``."""
    if isinstance(filter, Compound):
        parts = (matches(part, metadata) for part in filter.filters)
        return all(parts) if filter.type == "and" else any(parts)
    return any(_passes(filter, *pair) for pair in held(metadata, filter.key)) != filter.is_negated


def matches_singly(filter: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether it passes, and would with any single one of the values that a comparison finds under its key.

    A list passes by one of its values: with a tenant's and another's in it, a document is in the hands of both.
    """
    if isinstance(filter, Compound):
        parts = (matches_singly(part, metadata) for part in filter.filters)
        return all(parts) if filter.type == "and" else any(parts)
    if filter.is_negated:
        return matches(filter, metadata)
    value = metadata.get(filter.key)
    passing = [_passes(filter, *pair) for pair in held(metadata, filter.key)]
    return len(passing) == (len(value) if isinstance(value, list | tuple) else 1) > 0 and all(passing)


def joined(*filters: Filter | None) -> Filter | None:
    """What passes every one of the filters that are there; None where there is none."""
    present = tuple(filter for filter in filters if filter is not None)
    return Compound("and", present) if len(present) > 1 else next(iter(present), None)


def to_json(filter: Filter) -> dict[str, Any]:
    """The filter as ``parse_filter`` reads it."""
    if isinstance(filter, Compound):
        return {"type": filter.type, "filters": [to_json(part) for part in filter.filters]}
    value = list(filter.value) if isinstance(filter.value, tuple) else filter.value
    return {"type": filter.type, "key": filter.key, "value": value}


def parse_filter(raw: object) -> Filter:
    """A filter from decoded JSON.

    Raises:
        InvalidFilterError: it breaks a rule of the grammar, or is larger than the limits of this module.
    """
    return _Parser().parse(raw, "", depth=1)


class _Parser:
    """One filter on its way in, with the nodes counted so far."""

    def __init__(self) -> None:
        self._nodes = 0

    def parse(self, raw: object, path: str, depth: int) -> Filter:
        """The node at ``path``, which is empty for the root and ends in a dot for a member of it."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise InvalidFilterError(_whole(path), f"is one node too many: the limit is {MAX_NODES}")
        if depth > MAX_DEPTH:
            raise InvalidFilterError(_whole(path), f"lies {depth} levels deep; the limit is {MAX_DEPTH}")
        if not isinstance(raw, dict):
            raise InvalidFilterError(_whole(path), "must be an object", _shown(raw))
        type_ = raw.get("type")
        for compound in _COMPOUND_TYPES:
            if type_ == compound:
                return self._compound(compound, raw, path, depth)
        for comparison in _COMPARISON_TYPES:
            if type_ == comparison:
                return _comparison(comparison, raw, path)
        known = ", ".join((*_COMPARISON_TYPES, *_COMPOUND_TYPES))
        raise InvalidFilterError(f"{path}type", f"must be one of {known}", _shown_member(raw, "type"))

    def _compound(self, type_: CompoundType, raw: dict[str, Any], path: str, depth: int) -> Compound:
        _check_members(raw, ("type", "filters"), path)
        parts = raw["filters"]
        if not isinstance(parts, list) or not parts:
            raise InvalidFilterError(f"{path}filters", "must be a list with at least one filter", _shown(parts))
        return Compound(
            type_, tuple(self.parse(part, f"{path}filters[{i}].", depth + 1) for i, part in enumerate(parts))
        )


def _comparison(type_: ComparisonType, raw: dict[str, Any], path: str) -> Comparison:
    _check_members(raw, ("type", "key", "value"), path)
    key, value = raw["key"], raw["value"]
    if not isinstance(key, str) or not key:
        raise InvalidFilterError(f"{path}key", "must be a string that is not empty", _shown(key))
    _check_text(key, f"{path}key", MAX_KEY_CHARACTERS)
    path = f"{path}value"
    if type_ in {"in", "nin"}:
        return Comparison(type_, key, _values(value, path))
    scalar = _scalar(value, path)
    if type_ in ORDERS and isinstance(scalar, bool):
        raise InvalidFilterError(path, f"must be a number or a string for {type_}: booleans have no order", str(scalar))
    return Comparison(type_, key, scalar)


def _check_members(raw: dict[str, Any], names: tuple[str, ...], path: str) -> None:
    for name in names:
        if name not in raw:
            raise InvalidFilterError(f"{path}{name}", "is missing")
    for name in raw:
        if name not in names:
            raise InvalidFilterError(_whole(path), f"has a member besides {', '.join(names)}", _shown(name))


def _values(raw: object, path: str) -> tuple[Scalar, ...]:
    if not isinstance(raw, list) or not raw:
        raise InvalidFilterError(path, "must be a list with at least one scalar", _shown(raw))
    if len(raw) > MAX_VALUES:
        raise InvalidFilterError(path, f"has {len(raw)} values; the limit is {MAX_VALUES}")
    return tuple(_scalar(value, f"{path}[{i}]") for i, value in enumerate(raw))


def _scalar(raw: object, path: str) -> Scalar:
    if not _is_scalar(raw):
        raise InvalidFilterError(path, "must be a string, a finite number or a boolean", _shown(raw))
    if isinstance(raw, str):
        _check_text(raw, path, MAX_VALUE_CHARACTERS)
    elif isinstance(raw, int) and raw.bit_length() > MAX_INTEGER_BITS:
        raise InvalidFilterError(path, f"is an integer of {raw.bit_length()} bits; the limit is {MAX_INTEGER_BITS}")
    return raw


def _check_text(text: str, path: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidFilterError(path, f"has {len(text)} characters; the limit is {limit}", _shown(text))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        rule = f"has a lone surrogate at offset {error.start}, which no text in UTF-8 has"
        raise InvalidFilterError(path, rule, _shown(text)) from None


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    return kind_of(value) is not None


def _passes(comparison: Comparison, kind: Kind, scalar: Scalar) -> bool:
    compare: Callable[[Any, Any], bool] = ORDERS.get(comparison.type, operator.eq)
    wanted = zip(comparison.kinds, comparison.values, strict=True)
    return any(kind == kind_wanted and compare(scalar, value) for kind_wanted, value in wanted)


def _whole(path: str) -> str:
    """The path of the node whose members' paths begin with ``path``."""
    return path.removesuffix(".") or "filter"


def _shown_member(raw: dict[str, Any], name: str) -> str:
    return _shown(raw[name]) if name in raw else "nothing"


def _shown(value: object) -> str:
    """A value for an error's message, never long whatever it is."""
    match value:
        case str():
            return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
        case int() if value.bit_length() > MAX_INTEGER_BITS:
            return f"an integer of {value.bit_length()} bits"
        case int() | float() | None:
            return repr(value)
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
    return f"a {type(value).__name__}"
