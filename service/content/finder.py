"""Finder: where a rule's matches are in a text that may not have ended yet."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from service.content.expression import Expression, Matches, begun_of, without_case
from service.content.syntax import Part, PatternError, parse


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a candidate is.

    Attributes:
        end: of the match, if it is one.
        resume: where to look on.
    """

    is_match: bool
    end: int
    resume: int


# Given the text as it is matched and a candidate's start and end. It may look at one character on either side.
Check = Callable[[str, int, int], Verdict]


@dataclass(frozen=True)
class Finder:
    """A pattern, and what else a match has to be.

    Attributes:
        check: looks at each candidate, the longest that begins somewhere; None takes all.
    """

    part: Part
    check: Check | None = None

    @classmethod
    def of(cls, pattern: str, check: Check | None = None, *, case_matters: bool = True) -> "Finder":
        """From its text.

        Raises:
            PatternError: it cannot be used.
        """
        part = parse(pattern)
        if not part.shortest:
            raise PatternError("it matches the empty text")
        finder = cls(part if case_matters else without_case(part), check)
        _ = finder.expression, begun_of([finder.part])  # now rather than when a question comes
        return finder

    @cached_property
    def expression(self) -> Expression:
        """Of the candidates."""
        return Expression(self.part.regex)

    def found(self, text: str, start: int, limit: int) -> tuple[list[tuple[int, int]], int]:
        """Matches that begin before ``limit``, in order, and where to look on."""
        matches: list[tuple[int, int]] = []
        candidates = Matches(self.expression, text, start)
        while (span := candidates.following(start)) and span[0] < limit:
            verdict = self.check(text, *span) if self.check else Verdict(True, span[1], span[1])
            if verdict.is_match:
                matches.append((span[0], verdict.end))
            start = verdict.resume
        return matches, max(start, limit)
