"""What a collection must hold after a worker stopped, by the journal the worker kept, and what it does hold."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from faults.collection_under_test import CollectionUnderTest
from faults.workload import DIMENSION, WORDS, Content, Workload, unit
from indexes.base import Chunk, Document

_TOLERANCE = 1e-5
_OWN_VECTORS = 20  # chunks looked for by their own vector
_PHANTOMS = 100  # hits asked for beyond those expected


@dataclass(slots=True)
class Verdict:
    """What was found, in words; three empty lists are a pass."""

    lost: list[str] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.phantoms, *self.duplicates]

    def add(self, other: "Verdict", where: str = "") -> None:
        """Add what another check found, each with the place."""
        self.lost += [where + said for said in other.lost]
        self.phantoms += [where + said for said in other.phantoms]
        self.duplicates += [where + said for said in other.duplicates]

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {name: len(getattr(self, name)) for name in ("lost", "phantoms", "duplicates")}


class Ledger:
    """For each document id, which writes may be the last one: the acknowledged one and those without an answer."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.acked = 0
        self.next_serial = 0
        self._allowed: dict[str, set[int | None]] = {}  # serial of the put, None for no document

    def read(self, journal: Iterable[str]) -> None:
        """Follow the worker's journal: its lines ``intent N`` and ``acked N`` count, the others do not."""
        for line in journal:
            word, _, rest = line.partition(" ")
            if word == "intent":
                self.next_serial = max(self.next_serial, int(rest.split()[0]) + 1)
                self._note(int(rest.split()[0]), acked=False)
            elif word == "acked":
                self.acked += 1
                self._note(int(rest.split()[0]), acked=True)

    def check(self, subject: CollectionUnderTest) -> Verdict:
        """Compare; whichever allowed state was found is the only one allowed from here on."""
        verdict, found = Verdict(), {}
        listing = Counter(subject.listing())
        verdict.duplicates += [f"{name} is listed {n} times" for name, n in listing.items() if n > 1]
        verdict.phantoms += [f"{name} was never written" for name in listing if name not in self._allowed]
        for name in self._allowed:
            content = self._settled(name, subject.document(name), verdict)
            if (content is not None) != (name in listing):
                (verdict.lost if content else verdict.phantoms).append(f"the listing and the document {name} disagree")
            if content is not None:
                found[name] = content
        _check_search(subject, found, verdict)
        return verdict

    def _note(self, serial: int, acked: bool) -> None:
        operation = self.workload.operation(serial)
        result = None if operation.content is None else serial
        allowed = self._allowed.setdefault(operation.document_id, {None})
        if acked:
            allowed.clear()
        allowed.add(result)

    def _settled(self, name: str, document: Document | None, verdict: Verdict) -> Content | None:
        """The content that was found, None for no document or a wrong one; the verdict says which."""
        allowed = self._allowed[name]
        for serial in allowed:
            content = None if serial is None else self.workload.operation(serial).content
            if document == (content.document if content else None):
                self._allowed[name] = {serial}
                return content
        if document is None:
            verdict.lost.append(f"{name} is gone; it was written by {sorted(map(str, allowed))}")
        elif allowed == {None}:
            verdict.phantoms.append(f"{name} is back as {document.title!r}")
        else:
            verdict.lost.append(f"{name} is {document.title!r}, not as written by {sorted(map(str, allowed))}")
        return None


def _check_search(subject: CollectionUnderTest, expected: dict[str, Content], verdict: Verdict) -> None:
    """Every chunk once, with its exact text and the score its exact vector gives; each found by its own vector."""
    chunks = {chunk: vector for c in expected.values() for chunk, vector in zip(c.chunks, c.vectors, strict=True)}
    rng = np.random.default_rng(len(chunks))
    for query in unit(rng.normal(size=(2, DIMENSION))):
        hits = subject.search(query, top_k=len(chunks) + _PHANTOMS)
        times = Counter(hit.chunk for hit in hits)
        verdict.duplicates += [f"{chunk.id} is found {n} times" for chunk, n in times.items() if n > 1]
        verdict.lost += [f"{chunk.id} is not found" for chunk in chunks if chunk not in times]
        verdict.phantoms += [f"{chunk.id} is found: {chunk.text!r}" for chunk in times if chunk not in chunks]
        wrong = [h for h in hits if h.chunk in chunks and abs(h.score - chunks[h.chunk] @ query) > _TOLERANCE]
        verdict.lost += [f"{hit.chunk.id} has another vector: its score is {hit.score}" for hit in wrong]
    rows = list(chunks.items())
    for i in rng.permutation(len(rows))[:_OWN_VECTORS]:
        chunk, vector = rows[i]
        if [hit.chunk for hit in subject.search(vector, top_k=1)] != [chunk]:
            verdict.lost.append(f"{chunk.id} is not found by its own vector")
    _check_words(subject, list(chunks), verdict)
    if (counted := subject.counts()) != (len(expected), len(chunks)):
        verdict.lost.append(f"counts are {counted}, not {(len(expected), len(chunks))}")


def _check_words(subject: CollectionUnderTest, chunks: list[Chunk], verdict: Verdict) -> None:
    """Every chunk that has a word is found by it, once, and no other."""
    for word in WORDS[:2]:
        expected = {chunk.id for chunk in chunks if word in chunk.text.replace(".", " ").split()}
        times = Counter(hit.chunk.id for hit in subject.worded(word, len(chunks) + _PHANTOMS))
        verdict.duplicates += [f"{id_} is found {n} times by {word}" for id_, n in times.items() if n > 1]
        verdict.lost += [f"{id_} is not found by {word}" for id_ in expected - times.keys()]
        verdict.phantoms += [f"{id_} is found by {word}" for id_ in times.keys() - expected]
