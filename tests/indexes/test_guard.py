"""Writes by somebody for whom not every document exists."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from indexes.base import Chunk, Document, Vectors
from indexes.collection import Collection
from indexes.errors import DocumentNotFoundError, InvalidFilterError
from indexes.filters import Filter, parse_filter
from indexes.operations import MAX_FILTER_BYTES

Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Open = Callable[[], Collection]
VECTOR: Vectors = np.eye(1, 16, dtype=np.float32)


def of(tenant: str) -> Filter:
    return parse_filter({"type": "eq", "key": "tenant", "value": tenant})


@pytest.fixture
def write(cut: Cut) -> Callable[..., str]:
    """(collection, id, tenant, seq=...) -> the outcome of a guarded put of that tenant's."""

    def put(collection: Collection, id_: str, tenant: str, seq: int | None = None) -> str:
        document, chunks = cut(id_, [f"text of {tenant}"])
        document = replace(document, metadata={"tenant": tenant}, content_hash=tenant.encode())
        seq = collection.accept() if seq is None else seq
        return collection.put(document, chunks, VECTOR, seq, of(tenant)).outcome

    return put


def owner(collection: Collection, id_: str) -> Any:  # noqa: ANN401
    try:
        return collection.document(id_).metadata["tenant"]
    except DocumentNotFoundError:
        return None


@pytest.mark.contract
def test_what_a_writer_cannot_see_it_cannot_replace_or_delete(open_collection: Open, write: Callable[..., str]) -> None:
    collection = open_collection()
    assert write(collection, "a", "red") == "created"
    version = collection.version
    assert write(collection, "a", "blue") == "hidden"
    assert (owner(collection, "a"), collection.version) == ("red", version)
    assert collection.delete("a", collection.accept(), of("blue")).outcome == "absent"
    assert owner(collection, "a") == "red"
    assert write(collection, "a", "red") == "updated"
    assert collection.delete("a", collection.accept(), of("red")).outcome == "deleted"
    assert write(collection, "a", "blue") == "created"


@pytest.mark.contract
def test_a_delete_of_what_is_hidden_is_a_delete_of_nothing(open_collection: Open, write: Callable[..., str]) -> None:
    collection = open_collection()
    assert write(collection, "hidden", "red") == "created"
    for id_ in ("hidden", "absent"):
        older, version = collection.accept(), collection.version
        change = collection.delete(id_, collection.accept(), of("blue"))
        assert (change.outcome, change.version) == ("absent", version + 1)
        assert collection.is_overtaken(id_, {"tenant": "blue"}, older)
    assert write(collection, "hidden", "red") == "updated"


@pytest.mark.contract
def test_a_deletion_keeps_no_filter_of_any_size(open_collection: Open, write: Callable[..., str]) -> None:
    collection = open_collection()
    write(collection, "a", "red")
    version = collection.version
    for size, is_kept in ((2 * MAX_FILTER_BYTES, False), (MAX_FILTER_BYTES - 200, True)):
        large = parse_filter({"type": "in", "key": "tenant", "value": ["x" * 1000] * (size // 1004)})
        with nullcontext() if is_kept else pytest.raises(InvalidFilterError, match="the limit of a deletion is 65536"):
            collection.delete_matching(large, collection.accept())
    assert (owner(collection, "a"), collection.version) == ("red", version + 1)


@pytest.mark.contract
def test_of_two_tenants_who_take_an_id_at_once_one_has_it(open_collection: Open, write: Callable[..., str]) -> None:
    collection = open_collection()
    with ThreadPoolExecutor(2) as pool:
        for number in range(40):
            tenants = ("red", "blue")
            puts = [pool.submit(write, collection, f"d{number}", tenant) for tenant in tenants]
            outcomes = dict(zip(tenants, [put.result() for put in puts], strict=True))
            assert sorted(outcomes.values()) in (["created", "hidden"], ["hidden", "superseded"]), outcomes
            assert outcomes[owner(collection, f"d{number}")] == "created"


@pytest.mark.contract
@pytest.mark.parametrize("tenant", ["red", "blue"])
def test_a_delete_of_nothing_holds_back_the_deleters_own_older_writes_only(
    open_collection: Open, write: Callable[..., str], tenant: str
) -> None:
    collection = open_collection()
    older = collection.accept()
    assert collection.delete("a", collection.accept(), of("red")).outcome == "absent"
    assert collection.is_overtaken("a", {"tenant": tenant}, older) is (tenant == "red")
    assert write(collection, "a", tenant, older) == ("superseded" if tenant == "red" else "created")
    assert owner(collection, "a") == (None if tenant == "red" else "blue")


@pytest.mark.contract
def test_guarded_writes_keep_their_order_in_whatever_order_they_come(
    open_collection: Open, write: Callable[..., str]
) -> None:
    collection = open_collection()
    for number, order in enumerate(permutations(range(3))):
        id_, seqs = f"d{number}", [collection.accept() for _ in range(3)]
        steps: list[Callable[[], object]] = [
            lambda id_=id_, seq=seqs[0]: write(collection, id_, "red", seq),
            lambda id_=id_, seq=seqs[1]: collection.delete(id_, seq, of("red")),
            lambda id_=id_, seq=seqs[2]: write(collection, id_, "red", seq),
        ]
        for step in order:
            steps[step]()
        assert owner(collection, id_) == "red", order
    for number, order in enumerate(permutations(range(2))):
        id_, seqs = f"e{number}", [collection.accept() for _ in range(2)]
        steps = [
            lambda id_=id_, seq=seqs[0]: write(collection, id_, "red", seq),
            lambda id_=id_, seq=seqs[1]: collection.delete(id_, seq, of("red")),
        ]
        for step in order:
            steps[step]()
        assert owner(collection, id_) is None, order
