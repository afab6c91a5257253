"""Sentences in the store of a collection."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Chunk, Document
from indexes.checksums import checksum
from indexes.collection import Collection
from indexes.erasure import search_files
from indexes.errors import InvalidVectorError
from indexes.quantised import Quantised
from indexes.sentence_vectors import SentenceVectors
from indexes.store_schema import SCHEMA_VERSION

Open = Callable[[], Collection]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]

DIMENSION = 16
PIECES = ["One is here. Two is there. ", "No sentence", "Three is late."]
SPANS: list[list[tuple[int, int]]] = [[(0, 12), (13, 26)], [], [(38, 52)]]


def vectors(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float32)


def sentences(seed: int) -> list[SentenceVectors]:
    return [
        SentenceVectors(spans, Quantised.of(vectors(len(spans), seed + number))) for number, spans in enumerate(SPANS)
    ]


def behind_its_back(tmp_path: Path, sql: str, *values: object) -> None:
    (path,) = (tmp_path / "data" / "collections").glob("*/store.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("checksum", -1, checksum)
        connection.execute(sql, values)


@pytest.fixture
def write(cut: Cut) -> Callable[..., list[int]]:
    """(collection, id, sentences, seq) -> the rows that were added."""

    def put(collection: Collection, name: str, given: Sequence[SentenceVectors], seq: int | None = None) -> list[int]:
        document, chunks = cut(name, PIECES)
        seq = collection.accept() if seq is None else seq
        rows: list[int] = collection.put(document, chunks, vectors(3, 99), seq, None, given).added.tolist()
        return rows

    return put


@pytest.mark.contract
def test_they_come_back_as_they_were_stored_after_a_restart_too(
    open_collection: Open, write: Callable[..., list[int]]
) -> None:
    given, query = sentences(1), vectors(1, 50)[0]
    rows = write(open_collection(), "doc", given)
    found = open_collection().sentences_of(rows)
    assert set(found) == {rows[0], rows[2]}  # what has none has no row
    for place in (0, 2):
        assert found[rows[place]].spans == SPANS[place]
        assert found[rows[place]].vectors.cosines(query).tolist() == given[place].vectors.cosines(query).tolist()


@pytest.mark.contract
def test_they_are_counted(open_collection: Open, write: Callable[..., list[int]]) -> None:
    collection = open_collection()
    assert (collection.describe().sentences, collection.describe().sentence_bytes) == (0, 0)
    write(collection, "doc", sentences(1))
    write(collection, "other", [])
    state = collection.describe()
    assert (state.sentences, state.sentence_bytes) == (3, 3 * (DIMENSION + 4 + 8))
    assert collection.sentences_of([4, 5, 6, 99]) == {}


@pytest.mark.contract
def test_they_go_with_their_document(open_collection: Open, write: Callable[..., list[int]]) -> None:
    collection = open_collection()
    late = collection.accept()
    rows = write(collection, "doc", sentences(1))
    again = write(collection, "doc", sentences(2))
    assert collection.sentences_of(rows) == {}
    assert len(collection.sentences_of(again)) == 2
    assert write(collection, "doc", sentences(3), late) == []  # overtaken
    assert collection.describe().sentences == 3
    collection.delete("doc", collection.accept())
    assert collection.describe().sentences == 0
    assert collection.verify().problems == []


@pytest.mark.contract
def test_a_purge_leaves_nothing_of_them_in_the_files(
    open_collection: Open, write: Callable[..., list[int]], tmp_path: Path
) -> None:
    collection = open_collection()
    write(collection, "doc", sentences(1))
    write(collection, "other", sentences(5))
    codes = [one.vectors.codes.tobytes()[:16] for one in sentences(1) if len(one)]
    needles = collection.needles(["doc"])
    assert any(needle[-16:] in codes[1] or codes[1] in needle for needle in needles)
    assert len(search_files(tmp_path, codes).found) >= 2
    collection.delete("doc", collection.accept())
    assert collection.purge(needles).found == ()
    assert search_files(tmp_path, codes).found == ()


def test_damaged_ones_are_not_used_and_name_their_document(
    open_collection: Open, write: Callable[..., list[int]], tmp_path: Path
) -> None:
    collection = open_collection()
    rows = write(collection, "doc", sentences(1))
    behind_its_back(tmp_path, "UPDATE sentences SET vectors = zeroblob(length(vectors)) WHERE chunk = ?", rows[0])
    collection = open_collection()
    assert set(collection.sentences_of(rows)) == {rows[2]}
    (said,) = collection.verify().problems
    assert "what is stored of document 'doc' is damaged" in said


@pytest.mark.contract
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (sentences(1)[:2], "of 2 chunks, not of 3"),
        ([SentenceVectors([(0, 5)], Quantised.of(vectors(2, 1)))] * 3, r"shape \(2, 16\), not \(1, 16\)"),
        ([SentenceVectors([(0, 5)], Quantised.of(np.ones((1, 4), np.float32)))] * 3, r"shape \(1, 4\), not \(1, 16\)"),
    ],
)
def test_what_does_not_belong_to_the_chunks_is_refused(
    open_collection: Open, write: Callable[..., list[int]], given: list[SentenceVectors], said: str
) -> None:
    collection = open_collection()
    with pytest.raises(InvalidVectorError, match=said):
        write(collection, "doc", given)
    assert collection.describe().documents == 0


def test_a_store_of_the_version_before_gets_the_table(
    open_collection: Open, write: Callable[..., list[int]], tmp_path: Path
) -> None:
    assert SCHEMA_VERSION == 5
    rows = write(open_collection(), "old", [])
    open_collection()
    for sql in ("DROP TABLE sentences", "PRAGMA user_version=4"):
        behind_its_back(tmp_path, sql)
    collection = open_collection()
    assert collection.sentences_of(rows) == {}
    assert len(collection.sentences_of(write(collection, "new", sentences(1)))) == 2
    assert collection.verify().problems == []
