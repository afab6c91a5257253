"""Random filters over documents that change: no hit may fail its filter, and none may be missing.

Half of the searches look for words too, and half of the filters are required, as that of a key is.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from indexes.base import Hit, Hybrid, SearchParams
from indexes.filters import Filter, matches, parse_filter
from service.cli.bench.search.corpus import ROWS_PER_DOCUMENT, Corpus, metadata_of, name_of
from service.cli.bench.search.latency import searchers
from service.cli.bench.search.subject import Subject

_TOP_K = 10
_UPDATE_EVERY = 20
_NESTED = 0.3  # of the filters hold others
_REQUIRED = 0.5  # of the filters are those of a key
_SHOWN = 5
_SAID_EVERY = 10_000


@dataclass(slots=True)
class Leaks:
    """What came of it.

    Attributes:
        filters: searched with.
        hybrid: of these, with words.
        hits: returned by all of them.
        leaked: hits whose stored metadata fail the filter by its exact twin.
        short: searches with fewer hits than there are rows to find.
        updates: documents that were given other metadata meanwhile.
        examples: the first filters that went wrong.
    """

    filters: int = 0
    hybrid: int = 0
    hits: int = 0
    leaked: int = 0
    short: int = 0
    updates: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Neither a leak nor a missing hit."""
        return not self.leaked and not self.short

    def report(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"bench": "search-leaks", **asdict(self), "met": self.met}


class LeakHunt:
    """Searches a collection with random filters.

    Args:
        subject: filled with ``corpus``.
        seed: of every choice.
    """

    def __init__(self, subject: Subject, corpus: Corpus, seed: int) -> None:
        self._subject = subject
        self._corpus = corpus
        self._rng = random.Random(seed)  # noqa: S311  nothing secret
        self._metadata = {name_of(row): metadata_of(int(number)) for row, number in enumerate(corpus.numbers)}

    def run(self, count: int, say: Callable[[str], None]) -> Leaks:
        """Search with ``count`` filters; every twentieth time a document gets other metadata first."""
        leaks, queries = Leaks(), self._corpus.vectors.queries
        with searchers(1) as thread:
            while leaks.filters < count:
                if leaks.filters % _UPDATE_EVERY == 0:
                    self._update()
                    leaks.updates += 1
                raw = random_filter(self._rng, self._corpus.documents)
                query = queries[self._rng.randrange(len(queries))]
                wanted = parse_filter(raw)
                params = self._params(wanted)
                leaks.hybrid += params.hybrid is not None
                hits = thread.submit(self._subject.searched, query, params).result()
                self._judge(leaks, raw, wanted, hits)
                if leaks.filters % _SAID_EVERY == 0:
                    say(f"{leaks.filters:,} filters, {leaks.leaked} leaks, {leaks.short} with hits missing")
        return leaks

    def _params(self, wanted: Filter) -> SearchParams:
        words = Hybrid(self._corpus.question(self._rng.randrange(self._corpus.rows)), self._rng.random())
        hybrid = self._rng.choice([None, words])
        if self._rng.random() < _REQUIRED:
            return SearchParams(_TOP_K, required=wanted, hybrid=hybrid)
        return SearchParams(_TOP_K, filter=wanted, hybrid=hybrid)

    def _update(self) -> None:
        """The same rows with the metadata of another number."""
        document = self._rng.randrange(self._corpus.documents)
        metadata = metadata_of(self._rng.randrange(self._corpus.documents))
        self._subject.put(self._corpus.piece_with(document, name_of(document), metadata))
        self._metadata[name_of(document)] = metadata

    def _judge(self, leaks: Leaks, raw: Mapping[str, Any], wanted: Filter, hits: Sequence[Hit]) -> None:
        stored = {name: self._subject.metadata(name) for name in {hit.chunk.document_id for hit in hits}}
        leaked = sum(not matches(wanted, stored[hit.chunk.document_id]) for hit in hits)
        short = len(hits) < _TOP_K and len(hits) < self._existing(wanted)
        leaks.filters += 1
        leaks.hits += len(hits)
        leaks.leaked += leaked
        leaks.short += short
        if (leaked or short) and len(leaks.examples) < _SHOWN:
            leaks.examples.append({"filter": raw, "hits": len(hits), "leaked": leaked})

    def _existing(self, wanted: Filter) -> int:
        """Rows to be found, ten at most."""
        rows = 0
        for document, metadata in enumerate(self._metadata.values()):
            if matches(wanted, metadata):
                rows += min(ROWS_PER_DOCUMENT, self._corpus.rows - document * ROWS_PER_DOCUMENT)
                if rows >= _TOP_K:
                    return _TOP_K
        return rows


def random_filter(rng: random.Random, documents: int, depth: int = 2) -> dict[str, Any]:
    """One over a document's tenant, number and tag, alone or in up to two levels of and and or."""
    if depth and rng.random() < _NESTED:
        inner = [random_filter(rng, documents, depth - 1) for _ in range(rng.randint(1, 3))]
        return {"type": rng.choice(["and", "or"]), "filters": inner}
    key = rng.choice(["tenant", "number", "tag"])

    def value() -> int | str:
        # Some values are of no document.
        return rng.randrange(documents + 3) if key == "number" else f"{key}-{rng.randrange(12)}"

    ordered = ["gt", "gte", "lt", "lte"] if key == "number" else []
    kind = rng.choice(["eq", "ne", "in", "nin", *ordered])
    if kind in {"in", "nin"}:
        return {"type": kind, "key": key, "value": [value() for _ in range(rng.randint(1, 4))]}
    return {"type": kind, "key": key, "value": value()}
