"""The judge of the harnesses sees each kind of fault, and lets an unanswered write go either way."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faults.collection_under_test import CollectionUnderTest
from faults.ledger import Ledger, Verdict
from faults.workload import Workload, unit
from indexes.base import Hit, Vectors

WORKLOAD = Workload(seed=3, threads=1, ids=5)
SERIALS = range(12)
PUT = next(n for n in reversed(SERIALS) if WORKLOAD.operation(n).content is not None)


class Doubling(CollectionUnderTest):
    """Finds everything twice."""

    def search(self, query: Vectors, top_k: int, matching: object = None) -> Sequence[Hit]:
        hits = super().search(query, top_k, matching)
        return [hit for hit in hits for _ in range(2)]


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[CollectionUnderTest]:
    with closing(CollectionUnderTest(tmp_path / "data")) as subject:
        for serial in SERIALS:
            do(subject, serial)
        yield subject


def do(subject: CollectionUnderTest, serial: int) -> None:
    operation = WORKLOAD.operation(serial)
    subject.put(operation.content) if operation.content else subject.delete(operation.document_id)


def journal(serials: Sequence[int]) -> list[str]:
    return [line for n in serials for line in (f"intent {n} any", f"acked {n} done")]


def judged(subject: CollectionUnderTest, lines: Sequence[str]) -> Verdict:
    ledger = Ledger(WORKLOAD)
    ledger.read(lines)
    return ledger.check(subject)


def id_of(serial: int) -> str:
    return WORKLOAD.operation(serial).document_id


def next_write_to_another_content(deletes: bool) -> int:
    """A later write to a document that is there."""
    there = {id_of(n): WORKLOAD.operation(n).content for n in SERIALS}
    return next(
        n
        for n in range(12, 10_000)
        if there.get(id_of(n)) is not None and (WORKLOAD.operation(n).content is None) == deletes
    )


def test_what_was_acknowledged_and_is_there_passes(subject: CollectionUnderTest) -> None:
    assert judged(subject, journal(SERIALS)).faults == []


def test_the_next_serial_follows_the_last_intent() -> None:
    ledger = Ledger(WORKLOAD)
    ledger.read(["began opening", *journal([0, 1]), "intent 7 ingest", "failed 7 StoreUnavailableError full"])
    assert (ledger.next_serial, ledger.acked) == (8, 2)


@pytest.mark.parametrize("deletes", [False, True])
def test_an_acknowledged_write_that_is_not_there_is_a_fault(subject: CollectionUnderTest, deletes: bool) -> None:
    missing = next_write_to_another_content(deletes)
    verdict = judged(subject, [*journal(SERIALS), *journal([missing])])
    assert verdict.phantoms if deletes else verdict.lost


@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_a_write_without_an_answer_may_be_there_or_not_but_not_change_again(
    subject: CollectionUnderTest, deletes: bool, written: bool
) -> None:
    unanswered = next_write_to_another_content(deletes)
    ledger = Ledger(WORKLOAD)
    ledger.read([*journal(SERIALS), f"intent {unanswered} any"])
    if written:
        do(subject, unanswered)
    assert ledger.check(subject).faults == []
    do(subject, unanswered)
    assert bool(ledger.check(subject).faults) is not written


def test_a_document_that_is_gone_is_lost(subject: CollectionUnderTest) -> None:
    subject.delete(id_of(PUT))
    assert f"{id_of(PUT)} is gone" in judged(subject, journal(SERIALS)).lost[0]


def test_a_document_that_nobody_wrote_is_a_phantom(subject: CollectionUnderTest) -> None:
    without = [n for n in SERIALS if id_of(n) != id_of(PUT)]
    verdict = judged(subject, journal(without))
    assert f"{id_of(PUT)} was never written" in verdict.phantoms
    assert verdict.lost == [f"counts are {subject.counts()}, not {judged_counts(without)}"]


def judged_counts(serials: Sequence[int]) -> tuple[int, int]:
    there = {id_of(n): WORKLOAD.operation(n).content for n in serials}
    contents = [content for content in there.values() if content]
    return len(contents), sum(len(content.chunks) for content in contents)


def test_a_document_with_another_vector_is_lost(subject: CollectionUnderTest) -> None:
    content = WORKLOAD.operation(PUT).content
    assert content is not None
    vectors = content.vectors.copy()
    vectors[0] = unit(np.ones((1, vectors.shape[1])))
    subject.put(replace(content, vectors=vectors))
    assert any("another vector" in fault for fault in judged(subject, journal(SERIALS)).lost)


def test_a_document_with_another_chunk_is_lost_and_a_phantom(subject: CollectionUnderTest) -> None:
    content = WORKLOAD.operation(PUT).content
    assert content is not None
    first = replace(content.chunks[0], text="torn")
    subject.put(replace(content, chunks=(first, *content.chunks[1:])))
    verdict = judged(subject, journal(SERIALS))
    assert f"{first.id} is not found" in verdict.lost
    assert f"{first.id} is found: 'torn'" in verdict.phantoms


def test_a_chunk_that_is_found_twice_is_a_duplicate(tmp_path: Path) -> None:
    with closing(Doubling(tmp_path / "data")) as subject:
        for serial in SERIALS:
            do(subject, serial)
        assert judged(subject, journal(SERIALS)).duplicates
