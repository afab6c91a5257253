r"""The syntax of patterns, and from each the pattern of its beginnings.

A stream has to hold back what could still become a match. That is another regular expression: of ``ab{2}c`` it is
``(?:a|a(?:b{0,1}b|b{2}c))``, every beginning of every match and every match, and RE2 says where in the text so far the
earliest one starts that reaches its end. To derive it the pattern is read here: a part of RE2's syntax, and what is not
in it is refused. Where a pattern counts far, its beginnings do not: a count is a state each, and holding back a little
more than is needed changes nothing but the moment.

    literals, ``.``, ``[...]`` with ranges and ``[:alpha:]``, ``\d \D \w \W \s \S``, ``\pL``, ``\p{Greek}``, ``\x41``,
    ``\x{1F600}``, ``\n \r \t \f \v``, ``\`` before punctuation, ``( )`` and ``(?: )``, ``|``, ``* + ? {2} {2,} {2,4}``
    and the same with ``?`` behind, ``^ $ \b \B``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.content.folding import fold

_QUANTITY = re.compile(r"(?:([*+?])|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})(\??)")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\x\{[0-9A-Fa-f]+\}|\\[pP]\{\^?\w+\}|\\.|[^\]\\])*\]", re.DOTALL)
_PROPERTY = re.compile(r"\\[pP](?:[A-Z]|\{\^?\w+\})")
_CODE = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_COUNTS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_LAST_CODE = 0x10FFFF
_FAR = 4


class PatternError(Exception):
    """The pattern cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A pattern or a part of one, in RE2's syntax, fit to stand beside others.

    Attributes:
        loose: without counts that go far; matches wherever ``regex`` does, and elsewhere.
        begun: of every beginning that has a character, the whole among them; None where there is none.
        shortest: characters of a match.
        longest: None without a bound.
    """

    regex: str
    loose: str
    begun: str | None
    shortest: int
    longest: int | None


def parse(pattern: str) -> Part:
    """Read a whole pattern.

    Raises:
        PatternError: what it has at some offset is not in the syntax above.
    """
    reader = _Reader(pattern)
    part = reader.alternatives()
    if reader.offset < len(pattern):
        raise PatternError(f"at offset {reader.offset}: ')' closes nothing")
    return part


class _Reader:
    """Recursive descent, a character at a time."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.offset = 0

    def alternatives(self) -> Part:
        """Up to the end or a parenthesis that closes."""
        parts = [self._sequence()]
        while self._next() == "|":
            self.offset += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _sequence(self) -> Part:
        parts: list[Part] = []
        while self._next() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom()))
        return _one_after_the_other(parts)

    def _repeated(self, part: Part) -> Part:
        found = _QUANTITY.match(self._pattern, self.offset)
        if found is None:
            return part
        sign, least, comma, most, _ = found.groups()
        self.offset = found.end()
        if _QUANTITY.match(self._pattern, self.offset):
            raise self._error("a quantity of a quantity")
        low, high = _COUNTS[sign] if sign else (int(least), int(most) if most else None if comma else int(least))
        return _times(part, low, high, found[0])

    def _atom(self) -> Part:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._taken(_CLASS, "a class that is not closed")
            case "\\":
                return self._escaped()
            case "^" | "$":
                self.offset += 1
                return _nothing(character)
            case "*" | "+" | "?":
                raise self._error(f"{character!r} repeats nothing")
            case "{" | "}" | "]":
                raise self._error(f"{character!r} as a character is written \\{character}")
        self.offset += 1
        return _single(character) if character == "." else self._literal(character)

    def _group(self) -> Part:
        opened = self.offset
        self.offset += 1
        if self._next() == "?":
            if not self._pattern.startswith("?:", self.offset):
                raise self._error("of groups there are (...) and (?:...)")
            self.offset += 2
        part = self.alternatives()
        if self._next() != ")":
            raise PatternError(f"at offset {opened}: '(' is not closed")
        self.offset += 1
        return replace(part, regex=f"(?:{part.regex})", loose=f"(?:{part.loose})")

    def _escaped(self) -> Part:
        following = self._pattern[self.offset + 1 : self.offset + 2]
        if following in {"b", "B"}:
            self.offset += 2
            return _nothing(f"\\{following}")
        if following in {"p", "P"}:
            return self._taken(_PROPERTY, "a property that is not \\pL or \\p{Greek}")
        if following == "x":
            found = _CODE.match(self._pattern, self.offset)
            if found is None or (code := int(found[1] or found[2], 16)) > _LAST_CODE:
                raise self._error("a code that is not \\x41 or \\x{1F600}")
            self.offset = found.end()
            return self._literal(chr(code))
        if following and (following in "dDwWsSnrtfv" or (following.isascii() and not following.isalnum())):
            self.offset += 2
            return _single(f"\\{following}")
        raise self._error(f"\\{following} is not known")

    def _literal(self, character: str) -> Part:
        if fold(character) != character:
            raise self._error(f"{character!r} never matches: texts are matched with {fold(character)!r} in its place")
        return _single(re.escape(character) if character.isascii() else character)

    def _taken(self, form: re.Pattern[str], otherwise: str) -> Part:
        found = form.match(self._pattern, self.offset)
        if found is None:
            raise self._error(otherwise)
        self.offset = found.end()
        return _single(found[0])

    def _next(self) -> str:
        return self._pattern[self.offset : self.offset + 1]

    def _error(self, said: str) -> PatternError:
        return PatternError(f"at offset {self.offset}: {said}")


def _single(regex: str) -> Part:
    return Part(regex, regex, regex, 1, 1)


def _nothing(regex: str) -> Part:
    """A condition on the place: no character of the text."""
    return Part(regex, regex, None, 0, 0)


def _any_of(parts: Sequence[Part]) -> Part:
    longest = [part.longest for part in parts]
    return Part(
        regex=f"(?:{'|'.join(part.regex for part in parts)})",
        loose=f"(?:{'|'.join(part.loose for part in parts)})",
        begun=_either([part.begun for part in parts]),
        shortest=min(part.shortest for part in parts),
        longest=None if None in longest else max(filter(None, longest), default=0),
    )


def _one_after_the_other(parts: Sequence[Part]) -> Part:
    """It has begun with a beginning of the first part, or with the first part and what begins the rest."""
    begun: str | None = None
    for part in reversed(parts):
        begun = _either([part.begun, None if begun is None else part.loose + begun])
    bounds = [part.longest for part in parts if part.longest is not None]
    longest = sum(bounds) if len(bounds) == len(parts) else None
    return Part(
        regex="".join(part.regex for part in parts),
        loose="".join(part.loose for part in parts),
        begun=begun,
        shortest=sum(part.shortest for part in parts),
        longest=longest,
    )


def _times(part: Part, low: int, high: int | None, quantity: str) -> Part:
    if high is not None and high < low:
        raise PatternError(f"{quantity} has its bounds the wrong way round")
    is_far = high is None or high > _FAR
    before = "*" if high is None or is_far else f"{{0,{high - 1}}}"
    begun = None if part.begun is None or high == 0 else f"(?:{part.loose}){before}{part.begun}"
    longest = 0 if part.longest == 0 else None if high is None or part.longest is None else high * part.longest
    return Part(
        regex=f"(?:{part.regex}){quantity}",
        loose=f"(?:{part.loose}){('+' if low else '*') if is_far else quantity}",
        begun=begun and f"(?:{begun})",
        shortest=low * part.shortest,
        longest=longest,
    )


def _either(regexes: Sequence[str | None]) -> str | None:
    given = [regex for regex in regexes if regex is not None]
    return f"(?:{'|'.join(given)})" if len(given) > 1 else given[0] if given else None
