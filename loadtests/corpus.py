"""Corpus: the documentation inside Python's standard library, as documents, questions and texts to put."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from loadtests.plan import Material
from service.cli.bench.search.documentation import Documentation

_DOCUMENTS = 120
_LONGEST_DOCUMENT = 600  # words
_SHORTEST_DOCUMENT = 300
_TEXTS = 500
_PUT_TIMEOUT_S = 300.0


class CorpusError(Exception):
    """The server did not take a document, or there is nothing to ask."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents that a server is to hold, and what is asked of them.

    Attributes:
        documents: id and text.
    """

    documents: Sequence[tuple[str, str]]
    material: Material

    @classmethod
    def of_the_library(cls) -> "Corpus":
        """Files of all parts of the library, their words in the order of the source; always the same.

        Raises:
            TooFewTextsError: this library has not enough.
        """
        whole = Documentation.read()
        long = [words[:_LONGEST_DOCUMENT] for words in whole.files if len(words) >= _SHORTEST_DOCUMENT]
        chosen = long[:: max(1, len(long) // _DOCUMENTS)][:_DOCUMENTS]
        documents = [(f"library-{number:03}", " ".join(words)) for number, words in enumerate(chosen)]
        part = Documentation(chosen, whole.digest)
        return cls(documents, Material(questions=part.queries(len(chosen)), texts=part.rows(_TEXTS)))

    def put(self, url: str, headers: dict[str, str], collection: str) -> None:
        """Bring every document to the server, which leaves those unchanged that it has.

        Raises:
            CorpusError: it refuses one, or cannot be reached.
        """
        trusted = ssl.create_default_context()
        with httpx.Client(
            base_url=url, headers=headers, timeout=_PUT_TIMEOUT_S, trust_env=False, verify=trusted
        ) as http:
            for name, text in self.documents:
                body = orjson.dumps({"title": name, "text": text})
                path = f"/v1/collections/{collection}/documents/{name}"
                try:
                    http.put(path, content=body, headers={"Content-Type": "application/json"}).raise_for_status()
                except httpx.HTTPError as error:
                    raise CorpusError(f"{path}: {error}") from None


def of_file(path: Path) -> Material:
    """Questions of a file, a line each, to a collection that is there; what is put has these texts too.

    Raises:
        CorpusError: it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: {error}") from None
    if not lines:
        raise CorpusError(f"{path} has no question")
    return Material(questions=lines, texts=lines)
