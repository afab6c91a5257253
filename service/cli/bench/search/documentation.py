"""Real text that every installation has: the documentation inside Python's standard library, cut into windows.

Nothing is imported: docstrings are read from the source with ``ast``, and so are comments and the topics of ``help()``.
Rows come in an order that is random and always the same, so that the first of them are a sample of all. Neighbouring
rows overlap, as chunks do.
"""

import ast
import hashlib
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SHORTEST_ROW, _LONGEST_ROW = 16, 64  # words
_SHORTEST_QUERY, _LONGEST_QUERY = 6, 16
_QUERY_EVERY = 500  # words between two held-out queries of a file
_STRIDE = 2  # words between the starts of two rows
_SEED = 11
_COMMENTS = re.compile(r"(?:^[ \t]*#.*\n?)+", re.MULTILINE)
_SKIPPED = {"site-packages", "dist-packages", "__pycache__"}
_Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class TooFewTextsError(Exception):
    """The documentation has fewer distinct windows than were asked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """Words ``start`` to ``end`` of one file's documentation."""

    file: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Documentation:
    """The words of every documented file of the standard library.

    Attributes:
        files: words by file.
        digest: hex, of all words in order: equal digests give equal rows and queries.
    """

    files: Sequence[Sequence[str]]
    digest: str

    @classmethod
    def read(cls, stdlib: Path | None = None) -> "Documentation":
        """Of this interpreter, or of the folder ``stdlib``."""
        root = stdlib or Path(sysconfig.get_paths()["stdlib"])
        seen: set[str] = set()
        files = [words for path in _sources(root) if (words := _words(path, seen))]
        digest = hashlib.sha256()
        for words in files:
            digest.update("\n".join(words).encode("utf-8", "replace") + b"\0")
        return cls(files, digest.hexdigest())

    def rows(self, count: int) -> list[str]:
        """``count`` distinct windows of 16 to 64 words; none shares a word with a query.

        Raises:
            TooFewTextsError: there are not so many.
        """
        return self._distinct(self._row_spans(), count)

    def queries(self, count: int) -> list[str]:
        """``count`` distinct windows of 6 to 16 words.

        Raises:
            TooFewTextsError: there are not so many.
        """
        return self._distinct(self._query_spans(), count)

    def _row_spans(self) -> list[Span]:
        rng = random.Random(_SEED)  # noqa: S311  nothing secret
        spans = []
        for file, words in enumerate(self.files):
            for first, last in _between_queries(len(words)):
                for start in range(first, last - _SHORTEST_ROW + 1, _STRIDE):
                    length = rng.randint(_SHORTEST_ROW, _LONGEST_ROW)
                    spans.append(Span(file, start, min(start + length, last)))
        rng.shuffle(spans)
        return spans

    def _query_spans(self) -> list[Span]:
        rng = random.Random(_SEED)  # noqa: S311  nothing secret
        spans = [
            Span(file, start, start + rng.randint(_SHORTEST_QUERY, _LONGEST_QUERY))
            for file, words in enumerate(self.files)
            for start in _query_starts(len(words))
        ]
        rng.shuffle(spans)
        return spans

    def _distinct(self, spans: Sequence[Span], count: int) -> list[str]:
        texts: dict[str, None] = {}
        for span in spans:
            if len(texts) == count:
                break
            texts[" ".join(self.files[span.file][span.start : span.end])] = None
        if len(texts) < count:
            raise TooFewTextsError(f"the standard library has {len(texts)} such windows of text, not {count}")
        return list(texts)


def _query_starts(words: int) -> range:
    return range(_QUERY_EVERY // 2, words - _LONGEST_QUERY, _QUERY_EVERY)


def _between_queries(words: int) -> Iterator[tuple[int, int]]:
    first = 0
    for start in _query_starts(words):
        yield first, start
        first = start + _LONGEST_QUERY
    yield first, words


def _sources(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if not _SKIPPED.intersection(path.relative_to(root).parts)]


def _words(path: Path, seen: set[str]) -> list[str]:
    """Words of the passages of a file that no earlier file had, in the order of the source."""
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the library's own tests have odd literals on purpose
            tree = ast.parse(source)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return []  # test data of the library that is broken on purpose
    words: list[str] = []
    for _, passage in sorted([*_docstrings(tree), *_comments(source), *_topics(path, tree)]):
        if passage not in seen:
            seen.add(passage)
            words += [word for word in passage.split() if any(map(str.isalnum, word))]
    return words


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name and docstring)."""
    for node in ast.walk(tree):
        if isinstance(node, _Documented) and (text := ast.get_docstring(node)):
            yield (0, text) if isinstance(node, ast.Module) else (node.lineno, f"{node.name}: {text}")


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for block in _COMMENTS.finditer(source):
        text = " ".join(line.strip().lstrip("#") for line in block.group().splitlines())
        yield source.count("\n", 0, block.start()) + 1, text


def _topics(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What ``help("topic")`` prints: strings of one dictionary."""
    if path.parent.name == "pydoc_data":
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value
