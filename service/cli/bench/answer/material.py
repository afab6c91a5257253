"""What is asked, and of which documents."""

import re
from dataclasses import dataclass
from pathlib import Path

import orjson

PROJECT = Path(__file__).parents[4]
_DOCS = PROJECT / "docs"
_HEADING = re.compile(r"^#+\s+(\S.*)$", re.MULTILINE)


class NoMaterialError(Exception):
    """There is nothing to ask, or nothing that answers."""


@dataclass(frozen=True, slots=True)
class Material:
    """Documents and questions.

    Attributes:
        corpus: a folder or a file, as `quarry ingest` takes it.
        questions: no two are the same.
    """

    corpus: Path
    questions: list[str]

    @classmethod
    def read(cls, corpus: Path, queries: Path) -> "Material":
        """From files of the user's own; ``queries`` is JSONL of {text}."""
        lines = [line for line in queries.read_bytes().splitlines() if line.strip()]
        return cls(corpus, list(dict.fromkeys(str(orjson.loads(line)["text"]) for line in lines)))

    @classmethod
    def of_the_project(cls) -> "Material":
        """The project's documentation, asked for what its headings say.

        Raises:
            NoMaterialError: only the packages are installed, without it.
        """
        pages = sorted(_DOCS.rglob("*.md"))
        headings = [heading for page in pages for heading in _HEADING.findall(page.read_text())]
        if not headings:
            raise NoMaterialError(f"{_DOCS} has no documentation: give --corpus and --queries")
        return cls(_DOCS, list(dict.fromkeys(headings)))
