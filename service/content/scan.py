"""Scan: the matches of several rules in one text that comes in pieces, the same however it was split."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.content.expression import begun_of, loosely_any_of
from service.content.rule import Rule


@dataclass(frozen=True, slots=True)
class Match:
    """A match; offsets are in the text as it is matched, from its beginning."""

    rule: Rule
    start: int
    end: int


class Expressions:
    """What the scans of some rules share: all their patterns, and all their beginnings, as one expression each."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        parts = [rule.finder.part for rule in rules]
        self.rules = rules
        self.any = loosely_any_of(parts)
        self.begun = begun_of(parts)
        longest = [part.longest for part in parts if part.longest is not None]
        self.longest = max(longest) if len(longest) == len(parts) else None


class Scan:
    """Feed it a text as it is matched, piece by piece.

    What begins before ``decided`` no further text can change: a match that more text could make longer, or that ends
    where the text does, has not ended yet for all that is known, and so it begins there or later.

    Every rule looks on its own; matches may overlap.
    """

    def __init__(self, expressions: Expressions) -> None:
        self._expressions = expressions
        self._text = ""  # what is not decided, after one character that is, which \b looks at
        self._offset = 0  # of it in the whole
        self._looked = [0] * len(expressions.rules)
        self.decided = 0

    def feed(self, text: str, *, is_all: bool = False) -> list[Match]:
        """Matches that are decided now, in order; with ``is_all`` the text ends with this piece."""
        self._text += text
        first, end = self.decided - self._offset, len(self._text)
        limit = end if is_all else self._limit(first)
        possible = self._expressions.any.first(self._text, first)
        found = self._found(first, limit) if possible and possible[0] < limit else []
        self.decided = self._offset + limit
        kept = max(0, limit - 1)
        self._text, self._offset = self._text[kept:], self._offset + kept
        return found

    def _limit(self, first: int) -> int:
        """Where the first match could begin that has not ended; what begins earlier is too far from the end for one."""
        begun, longest = self._expressions.begun.first(self._text, first), self._expressions.longest
        if begun is None:
            return len(self._text)
        return begun[0] if longest is None else max(begun[0], len(self._text) - longest)

    def _found(self, first: int, limit: int) -> list[Match]:
        found: list[Match] = []
        for i, rule in enumerate(self._expressions.rules):
            start = max(first, self._looked[i] - self._offset)
            spans, looked = rule.finder.found(self._text, start, limit)
            self._looked[i] = self._offset + looked
            found += [Match(rule, self._offset + start, self._offset + end) for start, end in spans]
        return found
