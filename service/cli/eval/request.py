"""Request: what the command line of ``quarry eval`` says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.dataset import Dataset, read_queries
from service.cli.eval.errors import UsageError
from service.cli.eval.options import Foreign, Options
from service.cli.eval.way import Way


class AmbiguousCollectionError(UsageError):
    """Two folders would be one collection."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is asked of what.

    Attributes:
        collection: of the only folder; None takes each folder's own name.
        foreign: folders of questions that should not be answered.
        queries: most of each folder; None takes all.
    """

    folders: Sequence[Path]
    collection: str | None
    foreign: Sequence[Path]
    queries: int | None

    def datasets(self) -> dict[str, Dataset]:
        """By the name of their collection.

        Raises:
            AmbiguousCollectionError, DatasetError: they cannot be told apart, or not be read.
        """
        if self.collection is not None and len(self.folders) > 1:
            raise AmbiguousCollectionError(f"--collection names one collection of {len(self.folders)} folders")
        names = [self.collection or folder.resolve().name for folder in self.folders]
        if len(set(names)) < len(names):
            raise AmbiguousCollectionError(f"two folders would be one collection: {', '.join(names)}")
        return {name: Dataset.read(folder) for name, folder in zip(names, self.folders, strict=True)}


@dataclass(frozen=True, slots=True)
class Asking:
    """How the server is asked, as in ``Options``.

    Attributes:
        ways: by name.
        compare_index: compare IVF-PQ with exact search, if the server is one's own.
    """

    ways: Sequence[str]
    top_k: int
    concurrency: int
    llm: str | None
    keep: bool
    compare_index: bool


@dataclass(frozen=True, slots=True)
class Judging:
    """How figures are made of the replies, and what they are held to.

    Attributes:
        compare: the report of another run.
        targets: as they were written.
        beats, not_below: margins as they were written.
    """

    compare: Path | None
    targets: Sequence[str]
    beats: Sequence[str]
    not_below: Sequence[str]
    bootstrap: Bootstrap


@dataclass(frozen=True, slots=True)
class Request:
    """All of it."""

    material: Material
    asking: Asking
    judging: Judging

    def options(self) -> Options:
        """How to measure.

        Raises:
            UnknownWayError, DatasetError: a way or a foreign folder is none.
        """
        return Options(
            ways=[Way.named(name) for name in dict.fromkeys(self.asking.ways)],
            foreign=[Foreign(folder, read_queries(folder)) for folder in self.material.foreign],
            top_k=self.asking.top_k,
            queries=self.material.queries,
            concurrency=self.asking.concurrency,
            llm=self.asking.llm,
            keep=self.asking.keep,
            bootstrap=self.judging.bootstrap,
        )
