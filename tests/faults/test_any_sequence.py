"""Any sequence of writes, deletes, searches, background work and restarts answers as a dict and NumPy do.

``make property-test EXAMPLES=10000`` tries that many sequences.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from faults.collection_under_test import METRICS, SEAL_ROWS, STEPS, CollectionUnderTest
from faults.oracle import Oracle, matches
from faults.workload import DIMENSION, Content, made
from indexes.base import Vectors

EXAMPLES = int(os.environ.get("EXAMPLES", "80"))
# Nothing here is about the disk, so memory serves where there is some.
IN_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
SEEDS = st.integers(0, 30)  # few, so that equal vectors, and so equal scores, come up
CHUNKS = st.sampled_from([0, 1, 2, 5, SEAL_ROWS // 2, SEAL_ROWS])
TENANT = st.builds(lambda value: {"type": "eq", "key": "tenant", "value": value}, st.sampled_from(["north", "west"]))
TENANTS = st.just({"type": "in", "key": "tenant", "value": ["south", "east"]})
YEAR = st.builds(lambda value: {"type": "gte", "key": "year", "value": value}, st.integers(1999, 2010))
BOTH = st.builds(lambda *parts: {"type": "and", "filters": list(parts)}, TENANT | TENANTS, YEAR)
MATCHING = TENANT | TENANTS | YEAR | BOTH


class AnySequence(RuleBasedStateMachine):
    """A collection and its oracle, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="any-sequence-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.reserved: int | None = None

    @initialize(metric=st.sampled_from(METRICS))
    def open(self, metric: str) -> None:
        self.metric = metric
        self.oracle = Oracle(metric)
        self.subject = CollectionUnderTest(self.home / "data", metric)

    @rule(document_id=IDS, chunks=CHUNKS, seed=SEEDS)
    def put(self, document_id: str, chunks: int, seed: int) -> None:
        content, there = self.content(document_id, chunks, seed), self.oracle[document_id]
        assert self.subject.put(content) == ("created" if there is None else "updated")
        self.oracle.put(content)

    @rule(document_id=IDS)
    def delete(self, document_id: str) -> None:
        assert self.subject.delete(document_id) == ("deleted" if self.oracle.delete(document_id) else "absent")

    @rule(document_id=IDS, chunks=CHUNKS, seed=SEEDS)
    def put_what_was_accepted_before_a_delete(self, document_id: str, chunks: int, seed: int) -> None:
        earlier = self.subject.accept()
        self.delete(document_id)
        assert self.subject.put(self.content(document_id, chunks, seed), earlier) == "superseded"

    @rule(document_id=IDS)
    def delete_what_was_confirmed_later(self, document_id: str) -> None:
        there = self.oracle[document_id]
        earlier, later = self.subject.accept(), self.subject.accept()
        content_hash = there.document.content_hash if there else b""
        assert self.subject.confirm(document_id, content_hash, later) is (there is not None)
        if there:
            assert self.subject.delete(document_id, earlier) == "superseded"

    @rule(matching=MATCHING)
    def delete_by_filter(self, matching: Mapping[str, object]) -> None:
        assert self.subject.delete_matching(matching) == self.oracle.delete_matching(matching)

    @rule(document_id=IDS, chunks=CHUNKS, seed=SEEDS, matching=MATCHING)
    def put_what_was_accepted_before_a_delete_by_filter(
        self, document_id: str, chunks: int, seed: int, matching: Mapping[str, object]
    ) -> None:
        earlier = self.subject.accept()
        self.delete_by_filter(matching)
        content = self.content(document_id, chunks, seed)
        outcome = self.subject.put(content, earlier)
        if matches(matching, content.document.metadata):
            # In the order of acceptance it replaced what was there, and was then deleted itself.
            assert outcome == "superseded"
            self.oracle.delete(document_id)
        else:
            self.oracle.put(content)

    @rule(seed=SEEDS, top_k=st.sampled_from([1, 10, 1000]))
    def search(self, seed: int, top_k: int) -> None:
        self.compare(seed, top_k, None)

    @rule(seed=SEEDS, top_k=st.sampled_from([1, 10, 1000]), matching=MATCHING)
    def search_with_filter(self, seed: int, top_k: int, matching: Mapping[str, object]) -> None:
        self.compare(seed, top_k, matching)

    @rule(step=st.sampled_from(STEPS))
    def work_in_the_background(self, step: str) -> None:
        self.subject.do(step)

    @rule()
    def restart(self) -> None:
        self.subject.close()
        self.subject = CollectionUnderTest(self.home / "data", self.metric)

    @invariant()
    def what_is_stored_is_what_was_written(self) -> None:
        assert self.subject.listing() == self.oracle.ids
        assert self.subject.counts() == self.oracle.counts
        for document_id in self.oracle.ids[:1]:
            content = self.oracle[document_id]
            assert content is not None
            assert self.subject.document(document_id) == content.document

    def teardown(self) -> None:
        try:
            self.compare(0, 1000, None)
        finally:
            self.subject.close()
            shutil.rmtree(self.home)

    def compare(self, seed: int, top_k: int, matching: Mapping[str, object] | None) -> None:
        query = self.vectors(np.random.default_rng(seed).normal(size=(1, DIMENSION)))[0]
        self.oracle.check(self.subject.search(query, top_k, matching), query, top_k, matching)

    def content(self, document_id: str, chunks: int, seed: int) -> Content:
        content = made(np.random.default_rng(seed), document_id, f"v{seed}", chunks)
        return Content(content.document, content.chunks, self.vectors(content.vectors))

    def vectors(self, vectors: Vectors) -> Vectors:
        """Unit vectors for the cosine; lengths that tell the other metrics from it and from each other."""
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths = 1 if self.metric == "cosine" else 1 + np.arange(len(vectors))[:, None] % 3
        return (vectors / norms * lengths).astype(np.float32)


AnySequence.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=15,
    deadline=None,
    report_multiple_bugs=False,
    derandomize="EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
# A pass takes seconds; a failure is made small first, which takes longer and is worth it.
# Without a limit where the number of sequences is asked for: 10,000 take longer than a test of the suite may.
PATIENCE_S = 0 if "EXAMPLES" in os.environ else 600
test_any_sequence = pytest.mark.timeout(PATIENCE_S)(pytest.mark.slow(AnySequence.TestCase))
