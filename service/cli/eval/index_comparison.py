"""Comparison of IVF-PQ with an exact search: the same collections on a server that is started for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.cli.eval.asker import Asker, Watch, collection_path
from service.cli.eval.bootstrap import Difference, Metric
from service.cli.eval.dataset import Dataset
from service.cli.eval.fidelity import SHALLOW, depth_metric, fidelity, share_by_lists
from service.cli.eval.latency import Latency
from service.cli.eval.options import Options
from service.cli.eval.relevance import SHALLOW_METRICS, relevance
from service.cli.eval.searches import Searches, SearchTask, search_all
from service.cli.eval.serving import Serving
from service.cli.eval.way_result import differences

# Fewer rows cannot be compressed.
LEAST_CHUNKS = 256
# A rebuild compresses the rows if there are as many as this, and else leaves them to be searched exactly.
_SEAL_ROWS = "QUARRY_INDEX__SEAL_ROWS"
_EXACT, _COMPRESSED = {_SEAL_ROWS: "1000000000"}, {_SEAL_ROWS: str(LEAST_CHUNKS)}
# By chunks of a search.
_ByDepth = Mapping[int, Searches]


@dataclass(frozen=True, slots=True)
class IndexResult:
    """IVF-PQ beside an exact search of the same rows.

    Attributes:
        metrics: agreement of the hits, of searches for ten chunks and of those for all that were asked for.
        share_by_lists: by metric, of the searches those that visited lists: with few rows, or many chunks wanted, the
            others score every row all the same.
        differences: in the relevance of searches for ten chunks, IVF-PQ less exact.
        exact_ms, ivf_pq_ms: of a search for ten chunks.
    """

    metrics: Sequence[Metric]
    share_by_lists: dict[str, float | None]
    differences: Sequence[Difference]
    exact_ms: Latency | None
    ivf_pq_ms: Latency | None


def compare(
    serving: Serving, datasets: Mapping[str, Dataset], options: Options, watch: Watch
) -> dict[str, IndexResult]:
    """Search the collections in the first way, twice.

    Args:
        serving: one's own, where they are; each has ``LEAST_CHUNKS`` at least.

    Raises:
        RefusedError, ServerStartError, httpx.TransportError: it cannot be done.
    """
    exact = _searched_with(serving, _EXACT, datasets, options, watch)
    compressed = _searched_with(serving, _COMPRESSED, datasets, options, watch)
    return {name: _result(dataset, exact[name], compressed[name], options) for name, dataset in datasets.items()}


def _searched_with(
    serving: Serving, variables: Mapping[str, str], datasets: Mapping[str, Dataset], options: Options, watch: Watch
) -> dict[str, _ByDepth]:
    """Every query, in the first way, of a server with these settings, once each index is as they say."""
    searches: dict[str, _ByDepth] = {}
    with serving.opened(variables) as http:
        asker = Asker(http, options.concurrency, watch)
        for name, dataset in datasets.items():
            asker.post(f"{collection_path(name)}:rebuild", {})
            queries = options.judged(dataset)
            searches[name] = {
                depth: search_all(asker, SearchTask(name, options.ways[0], depth), queries)
                for depth in dict.fromkeys((SHALLOW, options.top_k))
            }
    return searches


def _result(dataset: Dataset, exact: _ByDepth, compressed: _ByDepth, options: Options) -> IndexResult:
    one, other = (relevance(dataset.judgments, searches[SHALLOW].rankings) for searches in (compressed, exact))
    found = differences(options.bootstrap, one, other)
    return IndexResult(
        [options.bootstrap.metric(fidelity(exact[depth], compressed[depth], depth)) for depth in exact],
        {depth_metric(depth): share_by_lists(searches) for depth, searches in compressed.items()},
        [each for each in found if each.name in SHALLOW_METRICS],
        Latency.of([each.seconds for each in exact[SHALLOW].found]),
        Latency.of([each.seconds for each in compressed[SHALLOW].found]),
    )
