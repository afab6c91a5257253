"""Sentences of a chunk: where they stand in the document, and their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.errors import InvalidVectorError
from indexes.quantised import Quantised

Span = tuple[int, int]  # start and end in Document.text


@dataclass(frozen=True, slots=True)
class SentenceVectors:
    """Of the sentences of one chunk, in the order of the document, one vector for each span."""

    spans: Sequence[Span]
    vectors: Quantised

    def __len__(self) -> int:
        return len(self.spans)


def check_sentences(sentences: Sequence[SentenceVectors], chunks: int, dimension: int) -> None:
    """Refuse what is not of each of so many chunks, and of none either.

    Raises:
        InvalidVectorError: or their vectors have another dimension, or spans are not as many.
    """
    if len(sentences) not in {0, chunks}:
        raise InvalidVectorError(f"there are sentences of {len(sentences)} chunks, not of {chunks}")
    for one in sentences:
        if one.vectors.codes.shape != (len(one), dimension):
            shape = one.vectors.codes.shape
            raise InvalidVectorError(f"vectors of sentences have the shape {shape}, not {(len(one), dimension)}")
