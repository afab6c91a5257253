"""What a document is cut into: chunks, sentences, and the texts that their vectors are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.base import Chunk, Document
from indexes.quantised import Quantised
from indexes.sentence_vectors import SentenceVectors, Span
from service.ingest.chunking import Chunker
from service.sentences import spans_of


@dataclass(frozen=True, slots=True)
class Pieces:
    """A document in pieces.

    Attributes:
        texts: what the vector of each chunk is made of.
        spans: of each chunk's sentences; empty where nobody wants sentences.
        sentence_texts: what the vectors of sentences are made of, each text once: neighbours overlap.
        places: in ``sentence_texts``, of each chunk's sentences.
    """

    chunks: Sequence[Chunk]
    texts: Sequence[str]
    spans: Sequence[Sequence[Span]] = ()
    sentence_texts: Sequence[str] = ()
    places: Sequence[Sequence[int]] = ()

    def sentences(self, vectors: Quantised) -> list[SentenceVectors]:
        """Of each chunk, given the vectors of ``sentence_texts``."""
        return [
            SentenceVectors(spans, vectors.some(places)) for spans, places in zip(self.spans, self.places, strict=True)
        ]


def cut(chunker: Chunker, document: Document, language: str | None) -> Pieces:
    """The pieces of a document.

    Args:
        language: that its sentences are read by; None leaves them out.
    """
    chunks = chunker.chunks(document)
    texts = [chunker.embedded_text(document, chunk) for chunk in chunks]
    if language is None:
        return Pieces(chunks, texts)
    contexts = {path: chunker.context(document.title, path) for path in {chunk.heading_path for chunk in chunks}}
    numbers: dict[str, int] = {}
    spans, places = [], []
    for chunk in chunks:
        found = spans_of(chunk.text, chunk.start, language)
        said = [f"{contexts[chunk.heading_path]}{document.text[start:end]}" for start, end in found]
        places.append([numbers.setdefault(text, len(numbers)) for text in said])
        spans.append(found)
    return Pieces(chunks, texts, spans, list(numbers), places)
