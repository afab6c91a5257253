"""The text around chunks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from indexes.base import Chunk, Document, SearchParams, Vectors
from indexes.collection import Collection
from indexes.errors import StoreUnavailableError
from indexes.surroundings import ChunkSpan, Surroundings

Clustered = Callable[[int, int, int], Vectors]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]

PIECES = ["Zero äöü. ", "One 𝄞. ", "Two. ", "Three. ", "Four."]
TEXT = "".join(PIECES)


@pytest.fixture
def write(open_collection: Callable[[], Collection], clustered: Clustered) -> Callable[..., Collection]:
    """(document, chunks) -> the collection with it."""
    collection = open_collection()

    def put(document: Document, chunks: Sequence[Chunk]) -> Collection:
        collection.put(document, chunks, clustered(len(chunks), collection.spec.dimension, 3), collection.accept())
        return collection

    return put


def rows_of(collection: Collection, document_id: str) -> list[int]:
    """In the order of the chunks."""
    hits = collection.search(np.ones(collection.spec.dimension, dtype=np.float32), SearchParams(top_k=100))
    return sorted(hit.row for hit in hits if hit.chunk.document_id == document_id)


@pytest.mark.contract
@pytest.mark.parametrize(
    ("reach", "first", "last"), [(0, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]), (1, [0, 0, 1, 2, 3], [1, 2, 3, 4, 4]),
                                 (2, [0, 0, 0, 1, 2], [2, 3, 4, 4, 4]), (10, [0] * 5, [4] * 5)]
)  # fmt: skip
def test_neighbours_are_those_of_the_document(
    write: Callable[..., Collection], cut: Cut, reach: int, first: list[int], last: list[int]
) -> None:
    for name in ("before", "docs", "behind"):
        collection = write(*cut(name, PIECES if name == "docs" else ["Other. ", "Others. "]))
    rows = rows_of(collection, "docs")
    found = collection.surroundings(rows, reach)
    expected = ["".join(PIECES[a : b + 1]) for a, b in zip(first, last, strict=True)]
    assert [found[row].text for row in rows] == expected
    for around in found.values():
        assert around.text == TEXT[around.start : around.end]


@pytest.mark.contract
@pytest.mark.parametrize("change", [{"heading_path": ("Elsewhere",)}, {"page": 7}])
def test_what_is_elsewhere_is_no_neighbour(write: Callable[..., Collection], cut: Cut, change: dict[str, int]) -> None:
    document, chunks = cut("docs", PIECES)
    chunks[2] = replace(chunks[2], **change)
    collection = write(document, chunks)
    rows = rows_of(collection, "docs")
    texts = [around.text for around in collection.surroundings(rows, 4).values()]
    assert texts == ["".join(PIECES[:2])] * 2 + [PIECES[2]] + ["".join(PIECES[3:])] * 2


@pytest.mark.contract
def test_chunks_that_overlap_or_leave_something_between(write: Callable[..., Collection], cut: Cut) -> None:
    document, _ = cut("docs", ["abc def  ghi jkl"])
    spans = [(0, 7), (4, 7), (9, 16)]
    chunks = [Chunk("docs", place, document.text[s:e], s, e) for place, (s, e) in enumerate(spans)]
    collection = write(document, chunks)
    rows = rows_of(collection, "docs")
    first, second, third = (ChunkSpan(row, *span) for row, span in zip(rows, spans, strict=True))
    assert list(collection.surroundings(rows, 1).values()) == [
        Surroundings(0, "abc def", (first, second)),
        Surroundings(0, document.text, (first, second, third)),
        Surroundings(4, "def  ghi jkl", (second, third)),
    ]


@pytest.mark.contract
def test_what_is_gone_has_none(write: Callable[..., Collection], cut: Cut) -> None:
    collection = write(*cut("docs", PIECES))
    old = rows_of(collection, "docs")
    write(*cut("docs", ["New. "]))
    (new,) = rows_of(collection, "docs")
    assert collection.surroundings([*old, new], 9) == {new: Surroundings(0, "New. ", (ChunkSpan(new, 0, 5),))}
    collection.delete("docs", collection.accept())
    assert collection.surroundings([*old, new], 9) == {}


def test_a_text_that_the_store_cannot_cut_has_none(write: Callable[..., Collection], cut: Cut) -> None:
    collection = write(*cut("docs", ["On\0e. ", "Two. "]))
    assert collection.surroundings(rows_of(collection, "docs"), 1) == {}


@pytest.mark.contract
def test_a_store_that_is_closed(write: Callable[..., Collection], cut: Cut) -> None:
    collection = write(*cut("docs", PIECES))
    collection.close()
    with pytest.raises(StoreUnavailableError):
        collection.surroundings([1], 1)
