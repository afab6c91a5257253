"""Options: what an evaluation is told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.cli.eval.asked import Question
from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.dataset import Dataset, Query, sampled
from service.cli.eval.way import Way


@dataclass(frozen=True, slots=True)
class Foreign:
    """Questions of another dataset."""

    folder: Path
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure.

    Attributes:
        ways: differences are taken from the first.
        foreign: asked of every collection but their own.
        top_k: chunks of a search.
        queries: most of each dataset; None takes all.
        llm: generator that answers; None asks for no answers.
        keep: collections may hold other documents.
    """

    ways: Sequence[Way]
    foreign: Sequence[Foreign]
    top_k: int
    queries: int | None
    concurrency: int
    llm: str | None
    keep: bool
    bootstrap: Bootstrap

    def judged(self, dataset: Dataset) -> tuple[Query, ...]:
        """Queries that searches are measured with: those that a document answers."""
        return tuple(
            query
            for query in self._taken(dataset.queries)
            if query.answerable is not False and dataset.has_relevant(query)
        )

    def questions(self, dataset: Dataset) -> list[Question]:
        """Questions that answers are measured with, the dataset's own and foreign ones."""
        own = [
            Question("unanswerable" if query.answerable is False else "answerable", query)
            for query in self._taken(dataset.queries)
        ]
        foreign = [
            Question("foreign", replace(query, id=f"{other.folder.name}/{query.id}"))
            for other in self.foreign
            if other.folder.resolve() != dataset.folder.resolve()
            for query in self._taken(other.queries)
        ]
        return own + foreign

    def _taken(self, queries: tuple[Query, ...]) -> tuple[Query, ...]:
        return sampled(queries, self.queries, self.bootstrap.seed)
