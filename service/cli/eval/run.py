"""One run of ``quarry eval``: from what the command line says to the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cli.eval.asker import Watch
from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.dataset import Dataset, read_queries
from service.cli.eval.earlier import Earlier
from service.cli.eval.errors import EvalError
from service.cli.eval.evaluation import evaluate
from service.cli.eval.options import Foreign, Options
from service.cli.eval.report import Report
from service.cli.eval.serving import Serving
from service.cli.eval.targets import Target
from service.cli.eval.way import Way


class AmbiguousCollectionError(EvalError):
    """Two folders would be one collection."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says.

    Attributes:
        collection: of the only folder; None takes each folder's own name.
        ways, targets: as they were written.
        foreign: folders of questions that should not be answered.
        compare_index: compare IVF-PQ with exact search, if the server is one's own.
        compare: the report of another run.

    The rest is as in ``Options`` and ``Bootstrap``.
    """

    folders: Sequence[Path]
    collection: str | None
    ways: Sequence[str]
    foreign: Sequence[Path]
    top_k: int
    queries: int | None
    concurrency: int
    llm: str | None
    keep: bool
    compare_index: bool
    compare: Path | None
    targets: Sequence[str]
    seed: int
    resamples: int

    def options(self) -> Options:
        """How to measure.

        Raises:
            UnknownWayError, DatasetError: a way or a foreign folder is none.
        """
        return Options(
            ways=[Way.named(name) for name in dict.fromkeys(self.ways)],
            foreign=[Foreign(folder, read_queries(folder)) for folder in self.foreign],
            top_k=self.top_k,
            queries=self.queries,
            concurrency=self.concurrency,
            llm=self.llm,
            keep=self.keep,
            bootstrap=Bootstrap(self.seed, self.resamples),
        )

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


def run(request: Request, serving: Serving, watch: Watch) -> Report:
    """Read everything first, so that what is wrong is said before anything is sent; then measure.

    Raises:
        EvalError: it cannot be measured.
        ServerStartError, httpx.TransportError: there is no server to measure.
    """
    options, datasets = request.options(), request.datasets()
    names, ways = list(datasets), [way.name for way in options.ways]
    targets = [Target.parsed(text, names, ways, options.top_k) for text in request.targets]
    earlier = None if request.compare is None else Earlier.read(request.compare)
    if earlier is not None:
        earlier.require(names, ways)
    evaluation = evaluate(serving, datasets, options, watch, compare_index=request.compare_index)
    compared = [] if earlier is None else earlier.compared(evaluation, options.bootstrap)
    verdicts = [verdict for target in targets for verdict in target.verdicts(evaluation)]
    return Report(evaluation, options, compared, verdicts)
