"""How a text is read when it is matched: without what hides a match, and with the way back to the text as it is.

Every character is folded on its own, so that a text folds alike however it is split:

    what nobody sees (zero-width characters, marks of direction, soft hyphens, tags, controls) is left out;
    every decimal digit is an ASCII digit, every dash a hyphen, every blank a space, every line separator a newline;
    anything else is its NFKC form: full-width and mathematical letters, ligatures, circled numbers.

An accent that follows its letter as a character of its own stays one, and letters of other scripts that look like Latin
ones stay what they are.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_LAYOUT = frozenset("\t\n\r\f\v")
_LINE_ENDS = frozenset("\x85\u2028\u2029")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf"})
# Combining grapheme joiner, fillers of Hangul, vowels of Khmer that are not shown, Mongolian and other variation
# selectors: Unicode's Default_Ignorable_Code_Point, as far as it is in no category above.
_UNSEEN = frozenset(
    [*"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"]
    + [chr(code) for code in range(0xFE00, 0xFE10)]
    + [chr(code) for code in range(0xE0000, 0xE1000)]
)
_BLANK = "\u2800"  # Braille without a dot
_MINUS = "\u2212"
_KNOWN = 8192


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as it is matched.

    Attributes:
        sources: for each of its characters the offset of the one that it came from, ascending.
    """

    text: str
    sources: Sequence[int]


def folded(text: str) -> Folded:
    """The text as it is matched; of ``n`` characters in ``O(n)``."""
    forms = {character: fold(character) for character in set(text)}
    if all(character == form for character, form in forms.items()):
        return Folded(text, range(len(text)))
    read = text.translate({ord(character): form for character, form in forms.items()})
    if all(len(form) == 1 for form in forms.values()):
        return Folded(read, range(len(text)))
    return Folded(read, [i for i, character in enumerate(text) for _ in forms[character]])


@lru_cache(_KNOWN)
def fold(character: str) -> str:
    """One character: none, one or several. Its fold folds to itself."""
    if character in _LAYOUT:
        return character
    if character in _LINE_ENDS:
        return "\n"
    if character in _UNSEEN or unicodedata.category(character) in _UNSEEN_CATEGORIES:
        return ""
    if character == _BLANK:
        return " "
    return "".join(map(_plain, unicodedata.normalize("NFKC", character)))


def _plain(character: str) -> str:
    """A character that is seen, of a normalised text."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    match unicodedata.category(character):
        case "Pd":
            return "-"
        case "Zs":
            return " "
        case "Cs":  # half of a pair, which has no UTF-8
            return "\ufffd"
    return "-" if character == _MINUS else "" if character in _UNSEEN else character
