"""Titles that programs leave in the properties of a file, where they are any."""

import re

_LONGEST = 300
# What printing and exporting programs put there when nobody gave a title: a file's name or path, or a placeholder.
_FILE_NAME = re.compile(
    r"\.(docx?|dotx?|rtf|odt|pdf|tex|dvi|ps|indd|qxd|pptx?|xlsx?|html?|txt|tmp|cdr|ai|pages)$", re.I
)
_PLACEHOLDER = re.compile(
    r"(untitled|no title|title|document|slide|presentation|(microsoft )?word)[\s\d-]*|(microsoft \w+|\w+\.exe) - .*",
    re.I,
)
_LETTERS = re.compile(r"[^\W\d_]{2}")


def sensible_title(given: str | None) -> str | None:
    """``given`` in one line; None where it tells a reader nothing."""
    title = " ".join("".join(character if character.isprintable() else " " for character in given or "").split())
    is_sensible = (
        len(title) <= _LONGEST
        and _LETTERS.search(title)
        and not _FILE_NAME.search(title)
        and not _PLACEHOLDER.fullmatch(title)
    )
    return title if is_sensible else None
