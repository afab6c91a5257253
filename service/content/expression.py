"""Regular expressions in linear time, whatever the pattern and the text: RE2."""

from collections.abc import Sequence
from dataclasses import replace

import re2

from service.content.syntax import Part, PatternError

# For the program and what RE2 remembers of a text while it matches; beyond it a pattern is refused, or matched slower.
_MEMORY_BYTES = 32 * 1024 * 1024


class Expression:
    """A pattern made ready.

    Raises:
        PatternError: RE2 does not take it.
    """

    def __init__(self, regex: str) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MEMORY_BYTES
        try:
            self._compiled = re2.compile(regex, options)
        except re2.error as error:
            said = error.args[0] if error.args else error
            raise PatternError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None

    def first(self, text: str, start: int) -> tuple[int, int] | None:
        r"""The first match from ``start`` on; what is before it counts for ``\b`` and ``^`` alone."""
        found = self._compiled.search(text, start)
        return found.span() if found else None

    def first_in_bytes(self, encoded: bytes, start: int) -> tuple[int, int] | None:
        """The same of UTF-8, with offsets of bytes."""
        found = self._compiled.search(encoded, start)
        return found.span() if found else None


class Matches:
    """Successive matches in one text, which is encoded once: however many, they cost what the text is long."""

    def __init__(self, expression: Expression, text: str, start: int) -> None:
        self._expression = expression
        self._text = text
        self._encoded = text.encode()
        self._at = start  # of the text, and the same place of what is encoded
        self._at_byte = len(text[:start].encode())

    def following(self, start: int) -> tuple[int, int] | None:
        """The first from ``start`` on, which must not be before the last one's."""
        self._at_byte += len(self._text[self._at : start].encode())
        self._at = start
        found = self._expression.first_in_bytes(self._encoded, self._at_byte)
        if found is None:
            return None
        self._at += len(self._encoded[self._at_byte : found[0]].decode())
        self._at_byte = found[0]
        return self._at, self._at + len(self._encoded[found[0] : found[1]].decode())


def loosely_any_of(parts: Sequence[Part]) -> Expression:
    """Matches wherever one of them does, and elsewhere."""
    return Expression("|".join(f"(?:{part.loose})" for part in parts))


def begun_of(parts: Sequence[Part]) -> Expression:
    """Matches from where the first begins that could still become a match of one of them, or be a longer one."""
    return Expression(f"(?:{'|'.join(part.begun for part in parts if part.begun)})\\z")


def without_case(part: Part) -> Part:
    """The same whatever the case of letters."""
    regex, loose, begun = (text and f"(?i:{text})" for text in (part.regex, part.loose, part.begun))
    return replace(part, regex=regex or "", loose=loose or "", begun=begun)
