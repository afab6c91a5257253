"""What is ingested: Markdown and plain text, from a folder or made of the project's documentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

import orjson

from service.cli.bench.answer.material import PROJECT
from service.cli.sources import Found, find

_SUFFIXES = {".md", ".markdown", ".txt", ".text"}


class NoDocumentsError(Exception):
    """There is nothing to ingest."""


@dataclass(frozen=True, slots=True)
class Page:
    """A document before it is sent in one form or another."""

    name: str
    text: str

    @property
    def title(self) -> str:
        """As a JSON document has it, which no loader reads a title from."""
        return PurePosixPath(self.name).stem


def read(folder: Path) -> list[Page]:
    """The Markdown and plain text below ``folder``.

    Raises:
        NoDocumentsError: there is none.
        UnicodeDecodeError: a file is not UTF-8.
    """
    files = [file for file in find([folder]).files if file.path.suffix.lower() in _SUFFIXES]
    pages = [Page(file.id, text) for file in files if (text := file.path.read_text()).strip()]
    if not pages:
        raise NoDocumentsError(f"{folder} has no text in files of type {', '.join(sorted(_SUFFIXES))}")
    return pages


def of_the_project(documents: int) -> list[Page]:
    """So many variations of the project's documentation, in turn Markdown and plain text, always the same.

    Raises:
        NoDocumentsError: only the packages are installed, without it.
    """
    pages = read(PROJECT / "docs")
    return [_variation(pages[number % len(pages)], number // len(pages), number) for number in range(documents)]


def _variation(page: Page, turn: int, number: int) -> Page:
    """Its paragraphs from another one on, so that no two documents have the same chunks."""
    paragraphs = page.text.split("\n\n")
    first = turn % len(paragraphs)
    text = "\n\n".join([f"Variation {number}.", *paragraphs[first:], *paragraphs[:first]])
    suffix = ".md" if number % 2 else ".txt"
    return Page(f"{number:05}-{PurePosixPath(page.name).stem}{suffix}", text)


def as_files(pages: Sequence[Page], folder: Path) -> Found:
    """The pages as `quarry ingest` finds them in a folder."""
    for page in pages:
        path = folder / page.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text)
    return find([folder])


def as_lines(pages: Sequence[Page], path: Path) -> Found:
    """The pages as `quarry ingest` finds them in a JSONL file."""
    lines = [orjson.dumps({"id": page.name, "title": page.title, "text": page.text}) for page in pages]
    path.write_bytes(b"\n".join(chain(lines, [b""])))
    return find([path])


def as_bodies(pages: Sequence[Page]) -> Iterator[tuple[str, bytes]]:
    """Id and JSON body of each."""
    return ((page.name, orjson.dumps({"title": page.title, "text": page.text})) for page in pages)
