"""Words of a text, as the lexical index has them and as a query is looked up by."""

import re
import unicodedata
from collections.abc import Sequence

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from indexes.errors import LexicalError
from indexes.languages import STEMMERS, STOP_WORDS, check_language
from indexes.word_engine import engine_faults

# Part of what a lexical index on the disk is known by: raise it with every change to the words that come out.
ANALYSIS_VERSION = 1

# These scripts put no space between words, or hang syllables on them that a query does not have.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD = rf"[{_UNSPACED}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{_UNSPACED}]]+"
_LONGEST_BYTES = 256
# Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic. The marks of other scripts tell words apart.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u064b-\u0652\u0670]+")


class Analyzer:
    """Runs of letters, digits and marks in lower case, without accents, and by ``language`` without their endings.

    Of scripts that are written without spaces every character is a word. Any thread may use it.

    Args:
        language: one of ``LANGUAGES``.

    Raises:
        UnknownLanguageError: it is none.
    """

    def __init__(self, language: str) -> None:
        check_language(language)
        stemmer = STEMMERS.get(language)
        self._words = _Pipeline([Filter.stemmer(stemmer)] if stemmer else [])
        stop_words = [Filter.stopword(stemmer)] if stemmer and language in STOP_WORDS else []
        self._terms = _Pipeline([*stop_words, Filter.stemmer(stemmer)]) if stemmer and stop_words else self._words

    def words(self, text: str) -> Sequence[str]:
        """Every word, in the order of the text; none has white space in it."""
        return self._words.of(text)

    def terms(self, text: str) -> Sequence[str]:
        """The words that a text is found by: without those that nearly every text of the language has."""
        return self._terms.of(text)


class _Pipeline:
    """Words of a text after some filters."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._any = _built(Tokenizer.regex(_WORD), filters)
        self._ascii = _built(Tokenizer.simple(), filters)  # the same words, four times as fast

    def of(self, text: str) -> Sequence[str]:
        """None of a text that tantivy fails at, as it would each time."""
        try:
            with engine_faults():
                return self._of(text)
        except LexicalError:
            return ()

    def _of(self, text: str) -> Sequence[str]:
        if text.isascii():
            return self._ascii.analyze(text)
        # Stop words and stemmers know composed letters, so accents go after them.
        words = self._any.analyze(unicodedata.normalize("NFKC", text))
        return [word for word in map(_folded, words) if word]


def _built(tokenizer: Tokenizer, filters: Sequence[Filter]) -> TextAnalyzer:
    builder = TextAnalyzerBuilder(tokenizer)
    for each in (Filter.remove_long(_LONGEST_BYTES), Filter.lowercase(), *filters, Filter.ascii_fold()):
        builder = builder.filter(each)
    return builder.build()


def _folded(word: str) -> str:
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word)))
