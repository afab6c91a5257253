"""What one way of searching came to in one collection."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.cli.eval.abstention import CurvePoint, abstention_curve
from service.cli.eval.answer_metrics import AUROC_METRICS, answer_samples, confidences
from service.cli.eval.asked import Asked, Interview
from service.cli.eval.asker import Asker
from service.cli.eval.bootstrap import Bootstrap, Difference, Metric
from service.cli.eval.dataset import Dataset
from service.cli.eval.fidelity import share_by_lists
from service.cli.eval.latency import Latency
from service.cli.eval.options import Options
from service.cli.eval.relevance import relevance
from service.cli.eval.samples import Samples
from service.cli.eval.searches import Failure, Searches, SearchTask, search_all
from service.cli.eval.way import Way


@dataclass(frozen=True, slots=True)
class WayResult:
    """Quality, time, and what went wrong.

    Attributes:
        samples: of every metric that is a mean or a share, query by query.
        latency_ms: of ``search`` and ``query``; None where there was none.
        share_by_lists: of the searches, those that an index answered; None where no search was made.
        degraded: replies by what the server had to leave out.
    """

    way: str
    metrics: Sequence[Metric]
    samples: Sequence[Samples]
    latency_ms: dict[str, Latency | None]
    curve: Sequence[CurvePoint]
    share_by_lists: float | None
    degraded: dict[str, int]
    failures: Sequence[Failure]

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, if there is something to take it of."""
        return next((each for each in self.metrics if each.name == name and each.value is not None), None)


def measure_way(asker: Asker, dataset: Dataset, collection: str, way: Way, options: Options) -> WayResult:
    """Put every query and question to the server.

    Raises:
        httpx.TransportError: the server is gone.
    """
    searches = search_all(asker, SearchTask(collection, way, options.top_k), options.judged(dataset))
    asked = Asked((), ())
    if options.llm is not None and way.answers:
        asked = Interview(asker, collection, way, options.llm).ask_all(options.questions(dataset))
    return result_of(way.name, dataset, searches, asked, options.bootstrap)


def result_of(way: str, dataset: Dataset, searches: Searches, asked: Asked, bootstrap: Bootstrap) -> WayResult:
    """Everything that the replies say."""
    samples = [*relevance(dataset.judgments, searches.rankings), *answer_samples(asked.answered)]
    answerable, unanswerable, foreign = (
        confidences(asked.answered, kind) for kind in ("answerable", "unanswerable", "foreign")
    )
    areas = [
        bootstrap.auroc(name, answerable, negative)
        for name, negative in zip(AUROC_METRICS, (unanswerable, foreign), strict=True)
    ]
    return WayResult(
        way,
        [*map(bootstrap.metric, samples), *areas],
        samples,
        {
            "search": Latency.of([each.seconds for each in searches.found]),
            "query": Latency.of([each.seconds for each in asked.answered]),
        },
        abstention_curve(answerable, unanswerable, foreign),
        share_by_lists(searches),
        _degraded(searches, asked),
        [*searches.failures, *asked.failures],
    )


def _degraded(searches: Searches, asked: Asked) -> dict[str, int]:
    lost = [each.degraded for each in searches.found] + [each.degraded for each in asked.answered]
    return dict(Counter(rung for rungs in lost for rung in rungs))


def differences(bootstrap: Bootstrap, now: Sequence[Samples], before: Sequence[Samples]) -> list[Difference]:
    """Of every metric that both have."""
    earlier = {each.name: each for each in before}
    pairs = [(each, earlier[each.name]) for each in now if each.name in earlier]
    found = [bootstrap.difference(one, other) for one, other in pairs]
    return [each for each in found if each is not None]
