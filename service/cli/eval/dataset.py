"""Dataset: a folder in BEIR's layout with documents, queries, and which of them go together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.cli.eval.qrels import Judgments, read_judgments
from service.cli.eval.record import DatasetError, Record, records


@dataclass(frozen=True, slots=True)
class Source:
    """A document as its line has it; ``number`` is that of the line."""

    id: str
    title: str
    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Query:
    """A question.

    Attributes:
        answers: texts of which an answer should hold one.
        answerable: whether the documents answer it; None where nobody said.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    answerable: bool | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Judgments of what is not there, and queries without a judgment, in numbers.

    Attributes:
        queries: that judgments name and the file of queries does not have.
        documents: likewise, of documents.
        unjudged_queries: that should have an answer, and no judgment names a document for them.
    """

    queries: int
    documents: int
    unjudged_queries: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is read before anything is sent; documents are read a second time when they are."""

    folder: Path
    document_ids: frozenset[str]
    queries: tuple[Query, ...]
    judgments: Judgments

    @classmethod
    def read(cls, folder: Path) -> "Dataset":
        """Read ``corpus.jsonl``, ``queries.jsonl`` and the judgments.

        Raises:
            DatasetError: a file is missing or wrong.
        """
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder")
        ids = frozenset(source.id for source in _distinct(folder, sources(folder)))
        if not ids:
            raise DatasetError(f"{folder / 'corpus.jsonl'}: has no documents")
        return cls(folder, ids, read_queries(folder), read_judgments(folder))

    @property
    def unknown(self) -> Unknown:
        """What does not fit together."""
        named = {document for documents in self.judgments.values() for document in documents}
        return Unknown(
            queries=len(self.judgments.keys() - {query.id for query in self.queries}),
            documents=len(named - self.document_ids),
            unjudged_queries=sum(
                query.answerable is not False and not self.has_relevant(query) for query in self.queries
            ),
        )

    def has_relevant(self, query: Query) -> bool:
        """A judgment names a document that answers it."""
        return any(score > 0 for score in self.judgments.get(query.id, {}).values())


def sources(folder: Path) -> Iterator[Source]:
    """The documents; fields beside ``_id``, ``title`` and ``text`` are passed over, as collections have many.

    Raises:
        DatasetError: naming file, line and field.
    """
    for record in records(folder / "corpus.jsonl"):
        yield Source(record.filled("_id"), record.text("title", default=""), record.text("text"), record.number)


def read_queries(folder: Path) -> tuple[Query, ...]:
    """The queries in the order of their file.

    Raises:
        DatasetError: there is none, or naming file, line and field.
    """
    return queries_in(folder / "queries.jsonl")


def queries_in(path: Path) -> tuple[Query, ...]:
    """As ``read_queries``, of one file.

    Raises:
        DatasetError: as there.
    """
    queries: dict[str, Query] = {}
    for record in records(path):
        query = _query(record)
        if query.id in queries:
            raise record.wrong("_id", f"{query.id!r} is there twice")
        queries[query.id] = query
    if not queries:
        raise DatasetError(f"{path}: has no queries")
    return tuple(queries.values())


def sampled(queries: tuple[Query, ...], count: int | None, seed: int) -> tuple[Query, ...]:
    """``count`` of the queries, drawn without repetition, in their order; all where there are no more."""
    if count is None or count >= len(queries):
        return queries
    chosen = np.random.default_rng(seed).choice(len(queries), size=count, replace=False)
    return tuple(queries[place] for place in sorted(chosen))


def _query(record: Record) -> Query:
    return Query(record.filled("_id"), record.filled("text"), record.texts("answers"), record.flag("answerable"))


def _distinct(folder: Path, found: Iterable[Source]) -> Iterator[Source]:
    lines: dict[str, int] = {}
    for source in found:
        first = lines.setdefault(source.id, source.number)
        if first != source.number:
            path = folder / "corpus.jsonl"
            raise DatasetError(f"{path}:{source.number}: _id {source.id!r} is on line {first} too")
        yield source
