"""The languages whose words can be brought to their stems, by ISO 639-1 code; "unicode" is any language, unstemmed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from indexes.errors import UnknownLanguageError

UNICODE = "unicode"
Stemmed = Literal[
    "ar", "da", "de", "el", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ro", "ru", "sv", "ta", "tr"
]
Language = Literal["unicode", Stemmed]
# Names of the Snowball stemmers that tantivy has.
STEMMERS: Mapping[str, str] = MappingProxyType(
    {
        "ar": "arabic",
        "da": "danish",
        "de": "german",
        "el": "greek",
        "en": "english",
        "es": "spanish",
        "fi": "finnish",
        "fr": "french",
        "hu": "hungarian",
        "it": "italian",
        "nl": "dutch",
        "no": "norwegian",
        "pt": "portuguese",
        "ro": "romanian",
        "ru": "russian",
        "sv": "swedish",
        "ta": "tamil",
        "tr": "turkish",
    }
)
# Those that tantivy has a list of stop words for, the lists of Snowball.
STOP_WORDS = frozenset({"da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ru", "sv"})
LANGUAGES = (UNICODE, *STEMMERS)


def check_language(language: str) -> None:
    """Refuse what no text can be read by.

    Raises:
        UnknownLanguageError: it is none of ``LANGUAGES``.
    """
    if language not in LANGUAGES:
        raise UnknownLanguageError(language, LANGUAGES)
