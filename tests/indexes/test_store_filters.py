"""Deleting by a filter, and what a rebuild reads of metadata."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes import document_rows, store_schema
from indexes.base import Chunk, Document
from indexes.checksums import checksum
from indexes.document_rows import passing
from indexes.filters import Filter, matches, parse_filter
from indexes.operations import version_of
from indexes.store import Change, Store

Operation = Callable[[Store, sqlite3.Connection, int], Change]

DIMENSION = 4
RED = parse_filter({"type": "eq", "key": "colour", "value": "red"})
NOT_RED = parse_filter({"type": "ne", "key": "colour", "value": "red"})
# The schema as version 1 wrote it.
OLD_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    metadata TEXT NOT NULL, url TEXT, format TEXT NOT NULL, content_hash BLOB NOT NULL);
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents(row),
    ordinal INTEGER NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    heading_path TEXT NOT NULL, page INTEGER);
CREATE INDEX chunks_by_document ON chunks(document);
CREATE TABLE vectors (chunk INTEGER PRIMARY KEY REFERENCES chunks(row), vector BLOB NOT NULL);
CREATE TABLE operations (
    version INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, kind TEXT NOT NULL, document_id TEXT NOT NULL);
CREATE INDEX operations_by_document ON operations(document_id, seq);
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store.db")
    yield store
    store.close()


def transaction(store: Store, *operations: tuple[int, Operation]) -> list[Change]:
    """(seq, operation) in the order of their commits, in one transaction."""
    connection = store.database.write_connection
    connection.execute("BEGIN IMMEDIATE")
    changes = [operation(store, connection, seq) for seq, operation in operations]
    connection.execute("COMMIT")
    return changes


def put(document_id: str, pieces: int = 1, **metadata: Any) -> Operation:  # noqa: ANN401
    def apply(store: Store, connection: sqlite3.Connection, seq: int) -> Change:
        chunks = [Chunk(document_id, i, str(seq), i, i + 1) for i in range(pieces)]
        document = Document(document_id, "", str(seq), metadata, None, "text", orjson.dumps(metadata))
        vectors = np.full((pieces, DIMENSION), seq, dtype=np.float32)
        return store.put(connection, document, chunks, vectors, seq)

    return apply


def delete(document_id: str) -> Operation:
    return lambda store, connection, seq: store.delete(connection, document_id, seq)


def delete_matching(raw: object) -> Operation:
    filter_ = parse_filter(raw) if isinstance(raw, dict) else raw
    return lambda store, connection, seq: store.delete_matching(connection, filter_, seq)


def confirm(document_id: str, **metadata: Any) -> Operation:  # noqa: ANN401
    content_hash = orjson.dumps(metadata)
    return lambda store, connection, seq: store.confirm(connection, document_id, content_hash, seq)


def ids(store: Store) -> list[str]:
    return [row[0] for row in store.documents("", 1000)]


def test_every_matching_document_goes_with_its_chunks_in_one_change(store: Store) -> None:
    a, _, c, _ = transaction(
        store,
        (1, put("a", 2, colour="red")),
        (2, put("b", colour="blue")),
        (3, put("c", 3, colour=["green", "red"])),
        (4, put("d")),
    )
    (change,) = transaction(store, (5, delete_matching(RED)))
    assert (change.outcome, change.deleted) == ("deleted", 2)
    assert sorted(change.removed) == [*a.added.tolist(), *c.added.tolist()]
    assert change.version == store.version()
    assert (ids(store), store.counts()) == (["b", "d"], (2, 2))
    assert np.concatenate([block.vectors for block in store.scan(DIMENSION)])[:, 0].tolist() == [2, 4]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("filter_", [RED, NOT_RED, None])
def test_pages_hold_all_that_passes_and_nothing_else(store: Store, limit: int, filter_: Filter | None) -> None:
    colours: list[dict[str, Any]] = [{"colour": "red"}, {"colour": "blue"}, {}, {"colour": ["blue", "red"]}]
    stored = {f"d{number:02}": colours[number * 7 % 4] for number in range(20, 0, -1)}
    transaction(store, *((seq, put(id_, **metadata)) for seq, (id_, metadata) in enumerate(stored.items(), 1)))
    after, found = "", list[str]()
    while page := store.documents(after, limit, filter_):
        assert len(page) <= limit
        assert all(metadata == stored[id_] for id_, _, _, metadata in page)
        found += [id_ for id_, *_ in page]
        after = found[-1]
    assert found == sorted(id_ for id_, metadata in stored.items() if filter_ is None or matches(filter_, metadata))


def test_for_a_page_hidden_documents_are_not_looked_at_one_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = [(seq, put(f"b{seq}", colour="blue")) for seq in range(1, 301)]
    transaction(store, *hidden, (301, put("r", colour="red")))
    looked: list[object] = []

    def looks(filter: Filter, metadata: dict[str, Any]) -> bool:
        looked.append(metadata)
        return matches(filter, metadata)

    monkeypatch.setattr(document_rows, "matches", looks)
    assert [id_ for id_, *_ in store.documents("", 10, RED)] == ["r"]
    assert len(looked) <= 3  # blue, red, and no metadata at all


def test_no_match_is_an_operation_all_the_same(store: Store) -> None:
    transaction(store, (1, put("a", colour="blue")))
    (change,) = transaction(store, (3, delete_matching(RED)))
    assert (change.outcome, change.deleted, list(change.removed), change.version) == ("absent", 0, [], 2)
    assert store.last_seq() == 3
    assert transaction(store, (2, put("b", colour="red")))[0].outcome == "superseded"
    assert ids(store) == ["a"]


def test_a_negated_filter_deletes_documents_without_metadata(store: Store) -> None:
    transaction(
        store,
        (1, put("bare")),
        (2, put("red", colour="red")),
        (3, put("blue", colour="blue")),
        (4, put("null", colour=None)),
        (5, put("also bare")),
    )
    (change,) = transaction(store, (6, delete_matching(NOT_RED)))
    assert (change.deleted, ids(store)) == (4, ["red"])


def test_what_was_accepted_later_stays(store: Store) -> None:
    transaction(store, (1, put("old", colour="red")), (9, put("new", colour="red")), (8, put("bare")))
    transaction(store, (5, delete_matching(RED)))
    assert ids(store) == ["bare", "new"]
    transaction(store, (7, delete_matching(NOT_RED)))
    assert ids(store) == ["bare", "new"]


def test_put_and_delete_in_one_transaction(store: Store) -> None:
    first, gone = transaction(store, (1, put("a", 2, colour="red")), (2, delete_matching(RED)))
    assert (first.outcome, sorted(gone.removed)) == ("created", first.added.tolist())
    assert gone.version > first.version
    gone, late, newer = transaction(
        store, (4, delete_matching(RED)), (3, put("b", colour="red")), (5, put("c", colour="red"))
    )
    assert [change.outcome for change in (gone, late, newer)] == ["absent", "superseded", "created"]
    assert (late.vectors, late.metadata, len(late.added)) == (None, None, 0)
    assert ids(store) == ["c"]


def test_an_older_put_that_comes_later_is_deleted_unless_it_does_not_match(store: Store) -> None:
    transaction(store, (5, delete_matching(RED)))
    late, other, newer = (
        transaction(store, operation)[0]
        for operation in ((3, put("a", colour="red")), (4, put("b", colour="blue")), (6, put("c", colour="red")))
    )
    assert [change.outcome for change in (late, other, newer)] == ["superseded", "created", "created"]
    assert ids(store) == ["b", "c"]


def test_a_put_that_comes_too_late_still_replaced_what_was_before_it(store: Store) -> None:
    (before,) = transaction(store, (1, put("a", colour="blue")))
    (deleted,) = transaction(store, (3, delete_matching(RED)))
    (late,) = transaction(store, (2, put("a", colour="red")))
    assert (late.outcome, list(late.removed)) == ("superseded", before.added.tolist())
    assert late.version > deleted.version
    assert ids(store) == []


def test_filters_with_large_integers_survive_in_the_log(store: Store) -> None:
    big = {"type": "in", "key": "n", "value": [2**70, "é", True, -(2**63)]}
    transaction(store, (5, delete_matching(big)))
    late, other = transaction(store, (1, put("a", n=-(2**63))), (2, put("b", n=1)))
    assert (late.outcome, other.outcome) == ("superseded", "created")


def write(**metadata: Any) -> Operation:  # noqa: ANN401
    """As documents are written: one that is there already is confirmed."""

    def apply(store: Store, connection: sqlite3.Connection, seq: int) -> Change:
        confirmed = confirm("a", **metadata)(store, connection, seq)
        return confirmed if confirmed.outcome == "unchanged" else put("a", **metadata)(store, connection, seq)

    return apply


def in_steps(filter_: Filter) -> Operation:
    def apply(store: Store, connection: sqlite3.Connection, seq: int) -> Change:
        version = version_of(connection)
        store.delete_rows(connection, list(passing(connection, filter_)), seq)
        return store.delete_matching(connection, filter_, seq, after=version)

    return apply


KINDS = [
    write(),
    write(colour="red"),
    write(colour="blue"),
    delete("a"),
    delete_matching(RED),
    delete_matching(NOT_RED),
    in_steps(RED),
]


def left(store: Store, operations: Sequence[tuple[int, Operation]]) -> list[str]:
    """Metadata of what is there after the operations, which are then undone."""
    connection = store.database.write_connection
    connection.execute("BEGIN")
    for seq, operation in operations:
        operation(store, connection, seq)
    found = [metadata for (metadata,) in connection.execute("SELECT metadata FROM documents")]
    connection.execute("ROLLBACK")
    return found


def test_three_operations_in_any_order_leave_what_the_order_of_acceptance_leaves(store: Store) -> None:
    for kinds in product(KINDS, repeat=3):
        accepted = list(enumerate(kinds, start=1))
        expected = left(store, accepted)
        assert all(left(store, order) == expected for order in permutations(accepted))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(KINDS), min_size=4, max_size=6), st.data())
def test_operations_in_any_order_leave_what_the_order_of_acceptance_leaves(
    store: Store, kinds: list[Operation], data: st.DataObject
) -> None:
    accepted = list(enumerate(kinds, start=1))
    expected = left(store, accepted)
    for _ in range(5):
        assert left(store, data.draw(st.permutations(accepted))) == expected


def test_a_confirmed_document_that_is_replaced_is_one_operation(store: Store) -> None:
    transaction(store, (1, put("a", n=1)), (5, confirm("a", n=1)))
    assert [change.version for change in transaction(store, (6, put("a", n=2)), (7, delete("a")))] == [2, 3]


def test_what_is_known_to_pass_is_not_looked_for_again(store: Store) -> None:
    transaction(store, (1, put("known", colour="red")), (2, put("blue", colour="blue")))
    rows, version = store.matching(RED)
    transaction(store, (3, put("next", colour="red")), (4, put("bare")))
    last = partial(Store.delete_matching, filter=RED, rows=rows, after=version)
    (change,) = transaction(store, (9, lambda store, connection, seq: last(store, connection, seq=seq)))
    assert (change.deleted, ids(store)) == (2, ["bare", "blue"])


def test_a_delete_in_steps_takes_what_came_between_them(store: Store) -> None:
    transaction(store, *((i, put(str(i), colour="red")) for i in range(1, 6)))
    rows, version = store.matching(RED)
    assert (rows, version) == ([1, 2, 3, 4, 5], 5)
    (step,) = transaction(store, (20, lambda store, connection, seq: store.delete_rows(connection, rows[:2], seq)))
    assert (step.deleted, step.version, len(step.removed), store.version()) == (2, 6, 2, 6)
    transaction(
        store,
        (6, put("between", colour="red")),
        (7, put("other", colour="blue")),
        (8, put("3", colour="blue")),
        (21, put("4", colour="red")),
    )
    last = partial(Store.delete_matching, filter=RED, rows=rows[2:], after=version)
    (change,) = transaction(store, (20, lambda store, connection, seq: last(store, connection, seq=seq)))
    assert (change.deleted, ids(store)) == (2, ["3", "4", "other"])


def test_a_confirmed_document_that_is_deleted_holds_back_what_is_older_than_the_confirmation(store: Store) -> None:
    transaction(store, (1, put("a", colour="red")), (4, confirm("a", colour="red")))
    transaction(store, (5, delete_matching(RED)))
    assert transaction(store, (3, put("a", colour="blue")))[0].outcome == "superseded"
    assert ids(store) == []


def test_a_confirmed_document_that_is_deleted_does_not_hold_back_what_is_newer_than_the_confirmation(
    store: Store,
) -> None:
    transaction(store, (1, put("a", colour="red")), (2, confirm("a", colour="red")), (4, delete_matching(RED)))
    assert transaction(store, (3, put("a", colour="blue")))[0].outcome == "created"
    assert ids(store) == ["a"]


def test_a_confirmation_that_was_accepted_later_keeps_the_document(store: Store) -> None:
    transaction(store, (1, put("a", colour="red")), (4, confirm("a", colour="red")), (3, delete_matching(RED)))
    assert ids(store) == ["a"]


def test_a_put_carries_its_metadata(store: Store) -> None:
    created, updated, gone = transaction(store, (1, put("a", n=1)), (2, put("a")), (3, delete("a")))
    assert [change.metadata for change in (created, updated, gone)] == [{"n": 1}, {}, None]


def test_a_scan_goes_on_over_what_is_written_between_two_blocks(store: Store) -> None:
    transaction(store, *((i, put(str(i), 2, n=i)) for i in range(1, 5)))
    blocks = store.scan(DIMENSION, rows=3)
    first = next(blocks)
    transaction(store, (5, delete("4")), (6, put("3", 2, n=3)), (7, put("new", 1, n=0)), (8, put("4", 1, n=9)))
    scanned = [first, *blocks]
    assert np.concatenate([block.ids for block in scanned]).tolist() == [1, 2, 3, 4, 9, 10, 11, 12]
    assert np.concatenate([block.vectors for block in scanned])[:, 0].tolist() == [1, 1, 2, 2, 6, 6, 7, 8]
    # What a row's document says is never taken from another one that came in its place.
    numbers = [block.metadata[document]["n"] for block in scanned for document in block.documents]
    assert numbers == [1, 1, 2, 2, 3, 3, 0, 9]


def test_the_migration_leads_to_the_schema_of_a_new_file(tmp_path: Path) -> None:
    old, new = (sqlite3.connect(tmp_path / name) for name in ("old.db", "new.db"))
    old.executescript(OLD_SCHEMA)
    old.create_function("checksum", -1, checksum)
    for version in sorted(store_schema.MIGRATIONS):
        old.executescript(store_schema.MIGRATIONS[version])
    new.executescript(store_schema.SCHEMA)
    for table in ("documents", "chunks", "vectors", "operations"):
        columns = [database.execute(f"PRAGMA table_info({table})").fetchall() for database in (old, new)]
        assert columns[0] == columns[1]
    indexes = [
        sorted(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'")) for database in (old, new)
    ]
    assert indexes[0] == indexes[1]
    old.close()
    new.close()
    assert max(store_schema.MIGRATIONS) == store_schema.SCHEMA_VERSION
